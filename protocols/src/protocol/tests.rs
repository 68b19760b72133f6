//! Tests of protocol files.
