//! `facebench data`: synthesise and forge here; list, index and check in `data_sets`, packing in `data_pack`.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use facebench_data::forge::ForgeSpec;
use facebench_data::shard;
use facebench_data::synth::{SynthScale, SynthSpec};

use super::{data_audit, data_sets};
use crate::args::{DataCommand, Scale};
use crate::fail::{Permanent, Status};
use crate::plan::Generate;
use crate::run::{self, Screen};
use crate::{config, out};

/// Dispatches.
pub(crate) fn run(command: DataCommand) -> Result<Status> {
    match command {
        DataCommand::List { only, json } => data_sets::list(&only, json),
        DataCommand::Synth { out, seed, size, scale } => {
            let scale = match scale {
                Scale::Demo => SynthScale::demo(),
                Scale::Tiny => SynthScale::tiny(),
            };
            let spec = SynthSpec { seed, size, scale, ..SynthSpec::default() };
            spec.check()?;
            generate(&out, &Generate::Synth(spec))
        }
        DataCommand::Forge { faces, out, set } => {
            let mut value = serde_json::to_value(ForgeSpec::default())?;
            config::apply(&mut value, &set)?;
            let spec = serde_json::from_value(value).context("-s")?;
            generate(&out, &Generate::Forge { faces, spec })
        }
        DataCommand::Audit(args) => data_audit::run(&args),
        DataCommand::Index { dataset, root, out, hash, source } => {
            data_sets::index(&dataset, &root, out.as_deref(), hash, &source)
        }
        DataCommand::Pack { paths, threads } => super::data_pack::pack(&paths, threads),
        DataCommand::Check { dataset, root, quick, json, source } => match root {
            _ if shard::is_shard(Path::new(&dataset)) => super::data_pack::check(Path::new(&dataset)),
            Some(root) => data_sets::check(&dataset, &root, quick, json, &source),
            None => Err(anyhow!(
                "which folder holds the data set `{dataset}`?\nhint: `facebench data check {dataset} ROOT`, or name a shard"
            )),
        },
    }
}

/// Whether the command asked for what cannot be: its settings, or what it named.
fn is_asked(error: &anyhow::Error) -> bool {
    use facebench_data::{forge, synth};
    use forge::Error::{Empty, FewPeople, Flat, Mixed, Nested, NoFolder, Other};
    let forged = error.downcast_ref::<forge::Error>().is_some_and(|e| {
        let given =
            matches!(e, NoFolder { .. } | Flat { .. } | Mixed { .. } | Empty { .. } | FewPeople { .. });
        given || matches!(e, forge::Error::Spec { .. } | Other { .. } | Nested { .. })
    });
    use synth::Error::{Damaged, Foreign, OtherSpec};
    let made = error.downcast_ref::<synth::Error>();
    let is = |e| matches!(e, &synth::Error::Spec { .. } | OtherSpec { .. } | Foreign { .. } | Damaged { .. });
    forged || made.is_some_and(is)
}

/// Makes a data root. The generators publish it whole or not at all.
fn generate(out: &Path, how: &Generate) -> Result<Status> {
    let stop = run::hear_signals()?;
    let screen = Screen::new();
    let progress = screen.unit(&out.display().to_string());
    let made = run::generate_data(how, out, &stop, &progress)
        .map_err(|e| if is_asked(&e) { e } else { e.context(Permanent("making the data")) })?;
    drop(progress);
    match made {
        Some(summary) => {
            out::json(&summary)?;
            Ok(Status::Done)
        }
        None => {
            screen.line("interrupted: nothing was kept");
            Ok(Status::Interrupted)
        }
    }
}
