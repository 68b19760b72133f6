//! Selection rules side by side: one training run, one scoring unit for each, the oracle never ranked.

use crate::fixture::{all, bench};

#[test]
fn rules_share_one_training_run_and_the_oracle_is_marked() {
    let b = bench();
    let args = [
        "tiny.yaml",
        "-s",
        "selection=[min-val-loss, last, oracle]",
        "-s",
        "protocols=[dfd-cross]",
        "-s",
        "only=[{model: Random}]",
    ];
    b.run(&[&["run"][..], &args, &["--out", "report", "--threads", "1"]].concat()).ok();
    let runs = b.path("runs");
    assert_eq!((all(&runs, "tune-").len(), all(&runs, "score-").len()), (1, 3));
    let mut rules = Vec::new();
    for folder in all(&runs, "score-") {
        let text = std::fs::read_to_string(folder.join("run.json")).expect("a run record");
        let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        rules.push((record["selection"].to_string(), record["head"].to_string()));
    }
    rules.sort();
    let expected = [("last", "probe [last]"), ("min-val-loss", "probe"), ("oracle", "probe")];
    assert_eq!(rules, expected.map(|(r, h)| (format!("{r:?}"), format!("{h:?}"))));
    let said = b.run(&["report", "runs", "--format", "md"]).ok();
    let text = said.stdout();
    let (ranked, bound) = text.split_once("oracle selection").expect("a part for the oracle");
    assert!(ranked.contains("probe \\[last\\]") && bound.contains("not ranked"), "{text}");
}

#[test]
fn a_rule_that_is_none_is_named() {
    let b = bench();
    b.run(&["plan", "tiny.yaml", "-s", "selection=[best]"]).code(2).stderr_has("selection");
    b.run(&["plan", "preset:dfd-finetune-x"]).code(2).stderr_has("did you mean `dfd-finetune-");
}
