//! What a table says about its rows: only what is known, and enough to tell them apart.

use super::{by_result, difference_table, efficiency, for_protocol, studies, with_differences};
use crate::runs::{self, Run};
use crate::table::Table;
use crate::testing::Made;
use crate::write::{Format, Style, write};
use facebench_protocols::record::OUTSIDE;
use facebench_protocols::{Protocol, Selection};

fn made(list: &[Made<'_>], change: impl Fn(usize, &mut Run)) -> Vec<Run> {
    let dir = tempfile::tempdir().unwrap();
    list.iter().for_each(|m| drop(m.write(dir.path())));
    let mut runs = runs::load(dir.path()).unwrap();
    runs.iter_mut().enumerate().for_each(|(i, run)| change(i, run));
    runs
}

fn text(table: &Table) -> String {
    write(table, Format::Terminal, &Style::default()).unwrap()
}

fn one(runs: &[Run]) -> Table {
    for_protocol("dfd-cross", runs, &[]).unwrap().remove(0)
}

#[test]
fn a_checkpoint_rule_that_nobody_stated_is_not_made_up() {
    let two = [Made::default(), Made { model: "MAE", quality: 0.3, ..Made::default() }];
    let none = text(&one(&made(&two, |_, run| run.record.selection = None)));
    assert!(none.contains("Checkpoint rule not stated.") && !none.contains("lowest"), "{none}");
    let some = one(&made(&two, |i, run| run.record.selection = (i == 0).then_some(Selection::MinValLoss)));
    let noted: Vec<usize> = some.rows().map(|(_, row)| row.notes.len()).collect();
    assert_eq!(noted, [0, 1]);
    let some = text(&some);
    assert!(some.contains("Checkpoint, where stated: lowest development loss."), "{some}");
    assert!(some.contains("checkpoint rule not stated"), "{some}");
}

/// Four rates by four widths, and a recipe that one row does not have: 16 rows of one name.
#[test]
fn rows_of_one_name_are_told_apart_by_what_differs() {
    let list: Vec<Made<'_>> = (0..16).map(|seed| Made { seed, ..Made::default() }).collect();
    let runs = made(&list, |i, run| {
        run.record.seed = 0;
        let ema = if i == 5 { serde_json::Value::Null } else { serde_json::json!({"decay": 0.9, "from": 3}) };
        run.record.plan = serde_json::json!({
            "rate": i % 4, "size": {"width": i / 4, "twice": 2 * (i / 4)}, "ema": ema, "same": true,
            "a": {"b": i == 7}
        });
    });
    let table = one(&runs);
    let notes: Vec<Vec<&str>> =
        table.rows().map(|(_, row)| row.notes.iter().map(|&n| table.notes[n].as_str()).collect()).collect();
    assert_eq!(notes.len(), 16);
    for (i, note) in notes.iter().enumerate() {
        assert!(notes[..i].iter().all(|other| other != note), "{note:?} twice");
        let plan = note[0];
        assert!(plan.contains("rate = ") && plan.contains("size.twice = "), "{plan}");
        assert!(!plan.contains("same") && !plan.contains("= –"), "{plan}");
        assert_eq!(plan.contains("1 more"), [5, 7].contains(&i), "two keys and a shadow of one: {plan}");
    }
    // only the row that has it otherwise names it, and the branch, not what would be below it
    assert!(notes[5][0].contains("ema = null") && !notes[5][0].contains("ema.decay"), "{:?}", notes[5]);
    assert_eq!(notes.iter().filter(|n| n[0].contains("ema")).count(), 1);
    assert_eq!(notes.iter().filter(|n| n[0].contains("a.b = true")).count(), 1);
}

#[test]
fn scores_from_elsewhere_have_no_costs_and_a_head_may_train_nothing() {
    let list = [Made::default(), Made { model: "kNN", head: "knn", quality: 0.3, ..Made::default() }];
    let outside = |model: &'static str| {
        move |_: usize, run: &mut Run| {
            run.record.machine.threads = 1;
            if run.record.model == model {
                run.record.notes.push(OUTSIDE.into());
                run.record.params = Default::default();
                run.record.machine = Default::default();
                run.record.timings = Default::default();
            } else if run.record.model == "kNN" {
                run.record.params.trained = 0;
            }
        }
    };
    let runs = made(&list, outside("FS-VFM"));
    let table = efficiency::table(&studies("dfd-cross", &runs, &[]).unwrap(), &runs).unwrap();
    assert_eq!(table.rows().count(), 1);
    let said = text(&table);
    assert!(said.contains("0.0000") && said.contains("All on test, cpu, 1 thread."), "{said}");
    assert!(!said.contains("features were read") && !said.contains("FS-VFM"), "{said}");
    let only: Vec<Run> = runs.into_iter().filter(|r| r.record.model == "FS-VFM").collect();
    assert!(efficiency::table(&studies("dfd-cross", &only, &[]).unwrap(), &only).is_none());
}

#[test]
fn a_small_p_value_is_not_nothing() {
    let list =
        [Made { quality: 0.9, ..Made::default() }, Made { model: "MAE", quality: 0.0, ..Made::default() }];
    let dir = tempfile::tempdir().unwrap();
    list.iter().for_each(|m| drop(m.write(dir.path())));
    let runs = runs::load(dir.path()).unwrap();
    let (table, mut differences) = with_differences("dfd-cross", &runs, &[]).unwrap().remove(0);
    differences[0].p = 1e-9;
    let said = text(&difference_table(&differences, &table).unwrap());
    assert!(said.contains("<0.0001") && !said.contains(" 0.0000"), "{said}");
}

#[test]
fn one_fold_of_several_is_a_table_of_that_fold() {
    let all = made(&[Made { protocol: "fas-mcio", ..Made::default() }], |_, _| {});
    let fold = all[1].record.protocol.clone().unwrap().fold;
    let (table, _) = with_differences("fas-mcio", &all[1..2], &[]).unwrap().remove(0);
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["HTER dev", "HTER oracle", "AUC"]);
    assert!(text(&table).contains(&format!("Fold {fold} only.")));
    assert_eq!(with_differences("fas-mcio", &all, &[]).unwrap()[0].0.columns.len(), 15);
}

#[test]
fn nothing_is_called_unseen_where_nothing_is_known_of_training() {
    let mut protocol = Protocol::builtin("dfd-cross").unwrap().unwrap();
    protocol.id = "as-given".into();
    protocol.folds[0].train.clear();
    let runs = made(&[Made::default()], |_, run| {
        let stamp = run.record.protocol.as_mut().unwrap();
        (stamp.id, stamp.fingerprint) = ("as-given".into(), protocol.fingerprint());
    });
    let table = for_protocol("as-given", &runs, std::slice::from_ref(&protocol)).unwrap().remove(0);
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert!(names.contains(&"Average") && !names.contains(&"Avg unseen"), "{names:?}");
}

#[test]
fn rows_are_sorted_by_the_average_that_ranks() {
    let row = |model, head, quality| Made { model, head, quality, ..Made::default() };
    let list = [row("a", "linear", 0.2), row("b", "linear", 0.6), row("c", "mlp", 0.8), row("d", "mlp", 0.1)];
    let mut runs = made(&list, |_, _| {});
    by_result(&mut runs, &[]).unwrap();
    let table = one(&runs);
    let models: Vec<&str> = table.rows().map(|(_, row)| row.labels[0].as_str()).collect();
    assert_eq!(models, ["c", "d", "b", "a"], "the head of the best row first");
}
