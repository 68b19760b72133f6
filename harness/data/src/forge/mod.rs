//! Forgeries of real photographs.
