//! DiFF as downloaded: `{train,val,test}/{T2I,I2I,FS,FE}/<method>/...` and the real pictures `DiFF_real/{train,val,test}`.
//!
//! One data set per condition; all share the same real pictures. Every picture is its own video; the first folder below
//! the condition is the method. Polarity: the folder's meaning (its *name* sorts before `fake`, which inverted the
//! labels of the authors' own preparation until August 2025).

use std::path::Path;

use super::clip::{Kind, Naming, Place, Sink, Who, flat};
use super::{classes, walk};
use crate::Error;

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("DiFF_real").is_dir()
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let condition = place.list.unwrap_or("T2I");
    let mut some = false;
    for (name, split) in classes::SPLITS {
        let (fake, real) =
            (place.folder.join(name).join(condition), place.folder.join("DiFF_real").join(name));
        if !place.wants(split) || !(fake.is_dir() || real.is_dir()) {
            continue;
        }
        some = true;
        for (folder, label) in [(&real, 0), (&fake, 1)] {
            walk::need_folder(folder, &format!("{name} pictures, {} of {condition}", classes::word(label)))?;
            let kind = Kind { folder, label, split, naming: Naming::Stills };
            flat(
                kind,
                &mut |parents, video, _| {
                    let method = if label == 1 { parents.first().map(String::as_str) } else { None };
                    let method = method.unwrap_or(classes::word(label)).to_owned();
                    Ok(Who { method, video: video.to_owned(), subjects: Vec::new() })
                },
                sink,
            )?;
        }
    }
    match some {
        true => Ok(()),
        false => Err(walk::missing(&place.folder.join("test").join(condition), "a split of DiFF")),
    }
}
