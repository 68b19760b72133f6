//! Rounding, ranking, marks.

use super::*;

#[test]
fn numbers_round_half_up_on_what_people_typed() {
    for (value, shift, decimals, expected) in [
        (0.912_45, 2, 2, "91.25"),
        (0.878_95, 2, 2, "87.90"),
        (0.745, 2, 0, "75"),
        (0.125, 0, 2, "0.13"),
        (0.999_99, 2, 2, "100.00"),
        (0.0, 2, 2, "0.00"),
        (-0.000_01, 2, 2, "0.00"),
        (-0.0451, 2, 1, "-4.5"),
        (1e-12, 2, 3, "0.000"),
        (85_648_130.0, -6, 1, "85.6"),
        (386.0, -6, 3, "0.000"),
        (9.995, 0, 2, "10.00"),
        (1e21, 0, 0, "1000000000000000000000"),
        (123.0, 0, 0, "123"),
    ] {
        assert_eq!(fixed(value, shift, decimals), expected, "{value} {shift} {decimals}");
    }
}

fn column(direction: Direction) -> Column {
    Column {
        group: String::new(),
        name: "x".into(),
        set: "x".into(),
        metric: "x".into(),
        direction,
        unit: Unit::Percent,
        decimals: 1,
    }
}

fn ranked(direction: Direction, values: &[Option<f64>]) -> Vec<Mark> {
    let row = |v: &Option<f64>| Row {
        labels: Vec::new(),
        cells: vec![v.map_or(Cell::Missing("not run".into()), |v| Cell::Value(Value::single(v)))],
        kind: RowKind::Run,
        notes: Vec::new(),
    };
    let table = Table {
        id: "t".into(),
        title: "t".into(),
        stamp: None,
        synthetic: false,
        stub: Vec::new(),
        columns: vec![column(direction)],
        groups: vec![
            Group { title: String::new(), ranked: true, rows: values.iter().map(row).collect() },
            Group {
                title: "not ranked".into(),
                ranked: false,
                rows: vec![row(&Some(2.0)), row(&Some(-1.0))],
            },
        ],
        caption: Vec::new(),
        notes: Vec::new(),
        intervals: false,
    };
    let all = marks(&table);
    assert!(all[1].iter().all(|r| r[0] == Mark::None), "unranked rows have no marks");
    all[0].iter().map(|r| r[0]).collect()
}

#[test]
fn ties_in_print_share_a_mark_and_unranked_rows_have_none() {
    use Mark::{Best as B, None as N, Second as S};
    assert_eq!(ranked(Direction::Up, &[Some(0.5), Some(0.9), Some(0.7)]), [N, B, S]);
    assert_eq!(ranked(Direction::Down, &[Some(0.5), Some(0.9), Some(0.7)]), [B, N, S]);
    assert_eq!(ranked(Direction::Up, &[Some(0.9001), Some(0.9002), Some(0.7)]), [B, B, S]);
    assert_eq!(ranked(Direction::Up, &[Some(0.9), Some(0.7), Some(0.7004)]), [B, S, S]);
    assert_eq!(ranked(Direction::Up, &[Some(0.7), None, Some(0.7)]), [B, N, B]);
    assert_eq!(ranked(Direction::Up, &[Some(0.7), None]), [N, N]);
    assert_eq!(ranked(Direction::Neither, &[Some(0.7), Some(0.8)]), [N, N]);
    // 0.64949 and 0.65049 differ by a point and print as 64.9 and 65.0; rank follows the value
    assert_eq!(ranked(Direction::Up, &[Some(0.649_49), Some(0.650_49)]), [S, B]);
}

#[test]
fn seeds_give_mean_and_sample_deviation() {
    let v = Value::over_seeds(&[0.90, 0.92, 0.94]).unwrap();
    assert_eq!((fixed(v.mean, 2, 2), fixed(v.std.unwrap(), 2, 2), v.n), ("92.00".into(), "2.00".into(), 3));
    assert_eq!(Value::over_seeds(&[0.9]).unwrap().std, None);
    assert_eq!(Value::over_seeds(&[]), None);
}

#[test]
fn footnote_marks_go_on_after_z() {
    assert_eq!([0, 25, 26, 51, 52, 701, 702].map(note_mark), ["a", "z", "aa", "az", "ba", "zz", "aaa"]);
}
