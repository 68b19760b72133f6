//! Every published checkpoint layout maps onto a backbone, strictly both ways.

use std::collections::BTreeSet;

use facebench_engine::DType;
use facebench_host::Purpose;
use serde_json::{Value, json};

use crate::common::{ctx, plugins, store};

fn files() -> Vec<Value> {
    let list: Value = serde_json::from_str(include_str!("../data/layouts.json")).unwrap();
    list.as_array().unwrap().clone()
}

/// The layout recognised and the complaints: tensors without a parameter, parameters without a tensor.
fn map(plugin: &str, file: &Value, pooling: Option<&str>) -> (String, Vec<String>) {
    let mut config = file["config"].clone();
    if let Some(pooling) = pooling {
        config["pooling"] = json!(pooling);
    }
    let s = store(DType::F32, 0);
    let model = plugins().backbone(plugin, &config, Purpose::Downstream, &s, "", &ctx(DType::F32)).unwrap();
    let keys: Vec<&str> = file["keys"].as_array().unwrap().iter().map(|k| k.as_str().unwrap()).collect();
    let layouts = model.layouts().unwrap();
    let layout = layouts.iter().find(|l| l.recognises(keys.iter().copied())).unwrap();
    let names: BTreeSet<String> = s.names().into_iter().collect();
    let targets: BTreeSet<String> = keys.iter().map(|k| layout.target(k)).collect();
    assert_eq!(targets.len(), keys.len(), "two keys with one name");
    let left = targets.iter().filter(|t| !names.contains(*t) && !layout.may_leave(t));
    let missing = names.iter().filter(|n| !targets.contains(*n) && !layout.may_miss(n));
    // what may be left over must not be a parameter: loaders may skip it
    let skipped = names.iter().filter(|n| targets.contains(*n) && layout.may_leave(n));
    (layout.name.clone(), left.chain(missing).chain(skipped).cloned().collect())
}

#[test]
fn published_keys_map_without_a_rest() {
    let expected = [
        ("checkpoint-3.pth", "fsvfm", "fsvfm-pretrain"),
        ("checkpoint-te-3.pth", "fsvfm", "fsvfm-target"),
        ("checkpoint-legacy.pth", "fsvfm", "fsvfm-pretrain"),
        ("bare_state_dict.pth", "fsvfm", "fsvfm-pretrain"),
        ("module_prefix.pth", "fsvfm", "fsvfm-pretrain"),
        ("oulu_vit_0_shot_checkpoint_run_0.pth.tar", "fsvfm", "fsvfm-fas"),
        ("mae_layout.pth", "mae", "mae-pretrain"),
        ("dino_layout.pth", "dino", "dino-full"),
        ("timm_supervised.pth", "dino", "vit"),
        ("timm_supervised.pth", "mae", "vit"),
        ("fp16.pth", "fsvfm", "fsvfm-pretrain"),
        ("encoder_only.pth", "fsvfm", "vit"),
        ("encoder_only.pth", "mae", "vit"),
    ];
    let files = files();
    for (name, plugin, layout) in expected {
        let file = files.iter().find(|f| f["file"] == name).unwrap();
        assert_eq!(map(plugin, file, None), (layout.into(), vec![]), "{plugin} reads {name}");
    }
    let seen: BTreeSet<&str> = expected.iter().map(|e| e.0).collect();
    assert_eq!(seen.len(), files.len(), "every layout on record is covered");
}

#[test]
fn cls_pooling_takes_the_final_norm_from_the_file() {
    let files = files();
    for (name, plugin) in [("encoder_only.pth", "fsvfm"), ("mae_layout.pth", "mae")] {
        let file = files.iter().find(|f| f["file"] == name).unwrap();
        assert!(map(plugin, file, Some("cls")).1.is_empty(), "{plugin} reads {name}");
    }
}

#[test]
fn a_missing_and_an_extra_tensor_are_both_seen() {
    let files = files();
    let mut file = files.iter().find(|f| f["file"] == "encoder_only.pth").unwrap().clone();
    let keys = file["keys"].as_array_mut().unwrap();
    keys.retain(|k| k != "blocks.1.mlp.fc2.weight");
    keys.push(json!("blocks.1.mlp.fc3.weight"));
    let (_, rest) = map("fsvfm", &file, None);
    assert_eq!(rest, ["blocks.1.mlp.fc3.weight", "blocks.1.mlp.fc2.weight"]);
}
