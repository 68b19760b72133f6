//! Every format shows the same table: snapshots in `expected/`, and the cases that break tables.
//!
//! After a wanted change of looks, run the tests with `BLESS=1` and read the difference.

use super::*;
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Stamp, Table, Unit, Value};
use facebench_protocols::Interval;

const NASTY: &str = r#"R&D_100% #1 <b>"x"|y</b> {z}$^~\ [α±β] 顔"#;

fn column(group: &str, name: &str, direction: Direction) -> Column {
    Column {
        group: group.into(),
        name: name.into(),
        set: name.to_lowercase(),
        metric: group.to_lowercase().replace(' ', "_"),
        direction,
        unit: Unit::Percent,
        decimals: 2,
    }
}

fn row(label: &str, kind: RowKind, values: [Option<f64>; 3]) -> Row {
    let cell = |v: Option<f64>| v.map_or(Cell::Missing("not run".into()), |v| Cell::Value(Value::single(v)));
    Row {
        labels: vec![label.into(), "faces".into()],
        cells: values.map(cell).to_vec(),
        kind,
        notes: Vec::new(),
    }
}

fn table() -> Table {
    let mut first = row(NASTY, RowKind::Run, [Some(0.912_45), Some(0.8), None]);
    first.cells[0] = Cell::Value(Value {
        interval: Some(Interval { low: 0.89, high: 0.93 }),
        ..Value::over_seeds(&[0.91, 0.912_45, 0.9149]).unwrap()
    });
    first.notes = vec![0, 1];
    let mut equal = row(
        "a method with a name of sixty characters, which is very long",
        RowKind::Run,
        [Some(0.9), Some(0.05), Some(0.2)],
    );
    equal.cells[0] = Cell::Value(Value { equal_to_best: true, ..Value::single(0.9) });
    Table {
        id: "nasty".into(),
        title: "Detection of 100 % <fakes> & spoofs".into(),
        stamp: Some(Stamp { id: "dfd-cross".into(), version: 1, fingerprint: "sha256:3f2a9c01aaaa".into() }),
        synthetic: true,
        stub: vec!["Model".into(), "Pre-training".into()],
        columns: vec![
            column("Video AUC %", "DFDC", Direction::Up),
            column("Video AUC %", "a,b", Direction::Up),
            column("HTER %", "O&C→M", Direction::Down),
        ],
        groups: vec![
            Group { title: "linear_probe".into(), ranked: true, rows: vec![first, equal] },
            Group {
                title: "cited".into(),
                ranked: true,
                rows: vec![row("Face X-ray", RowKind::Cited, [Some(0.6542), None, Some(0.1999)])],
            },
            Group {
                title: "oracle".into(),
                ranked: false,
                rows: vec![row("best case", RowKind::Oracle, [Some(1.0), Some(1.0), Some(0.0)])],
            },
        ],
        caption: vec!["Mean ± standard deviation over 3 seeds.".into()],
        notes: vec!["1 seed".into(), "plan: recipe.lr = 1e-3, 50 % of <data>".into()],
        intervals: false,
    }
}

fn expect(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/write/expected").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{name} changed; see it, then run with BLESS=1");
}

#[test]
fn each_format_shows_the_table_as_stored() {
    for format in Format::ALL {
        let text = write(&table(), format, &Style { interval: true, ..Style::default() }).unwrap();
        expect(&format!("nasty.{}", format.extension()), &text);
    }
    let colour = Style { colour: true, width: Some(80), ..Style::default() };
    expect("nasty.colour.txt", &write(&table(), Format::Terminal, &colour).unwrap());
    let body = Style { body_only: true, ..Style::default() };
    expect("nasty.body.tex", &write(&table(), Format::Latex, &body).unwrap());
}

#[test]
fn a_narrow_terminal_gets_panels_and_whole_numbers() {
    for width in [40, 60, 80, 100, 200] {
        let text =
            write(&table(), Format::Terminal, &Style { width: Some(width), ..Style::default() }).unwrap();
        for number in ["*91.25 ±0.25", "_90.00=", "_5.00", "*19.99", "Video AUC % ↑", "HTER % ↓"] {
            assert!(text.contains(number), "{number} at {width}:\n{text}");
        }
        let rules = text.lines().filter(|l| l.starts_with('─'));
        assert!(rules.map(|l| l.chars().count()).all(|n| n <= width), "{width}:\n{text}");
    }
}

#[test]
fn escape_sequences_of_a_name_do_not_reach_the_terminal() {
    let mut table = table();
    table.groups[0].rows[0].labels[0] = "x\x1b[2J\r\nDROP\u{2061}".into();
    for format in [Format::Terminal, Format::Markdown, Format::Latex, Format::Html] {
        let text = write(&table, format, &Style::default()).unwrap();
        assert!(!text.contains('\x1b') && !text.contains('\r'), "{format:?}");
    }
    let coloured = write(&table, Format::Terminal, &Style { colour: true, ..Style::default() }).unwrap();
    assert!(!coloured.contains("[2J\r") && coloured.contains("x [2J"));
}

#[test]
fn one_row_has_no_marks_and_two_hundred_rows_are_all_there() {
    let mut one = table();
    one.groups = vec![Group {
        title: String::new(),
        ranked: true,
        rows: vec![row("only", RowKind::Run, [Some(0.5), None, None])],
    }];
    one.notes.clear();
    let text = write(&one, Format::Terminal, &Style::default()).unwrap();
    assert!(text.contains("50.00") && !text.contains('*'), "{text}");
    let mut many = one.clone();
    many.groups[0].rows = (0..200)
        .map(|i| row(&format!("model {i}"), RowKind::Run, [Some(f64::from(i) / 200.0), Some(0.5), None]))
        .collect();
    for format in Format::ALL {
        let text = write(&many, format, &Style::default()).unwrap();
        for i in [0, 99, 199] {
            assert!(text.contains(&format!("model {i}")), "{format:?} {i}");
        }
        let lines = text.lines().filter(|l| l.contains("model ")).count();
        assert_eq!(lines, if format == Format::CsvLong { 600 } else { 200 }, "{format:?}");
    }
    assert!(write(&many, Format::Latex, &Style::default()).unwrap().contains("\\begin{longtable}"));
}

#[test]
fn csv_reads_back_to_the_same_numbers() {
    let text = write(&table(), Format::Csv, &Style::default()).unwrap();
    let line = text.lines().find(|l| l.contains("Face X-ray")).unwrap();
    assert!(line.contains("0.6542") && line.ends_with(",,0.1999"), "{line}");
    let head = text.lines().next().unwrap();
    assert!(head.contains("\"a,b/video_auc_%\""), "{head}");
    let count = |l: &str| {
        let mut quoted = false;
        l.chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    };
    assert!(text.lines().all(|l| count(l) == count(head)), "{text}");
}

#[test]
fn latex_is_balanced_and_escaped() {
    let text = write(&table(), Format::Latex, &Style { interval: true, ..Style::default() }).unwrap();
    let body: String = text.lines().filter(|l| !l.starts_with('%')).collect::<Vec<_>>().join("\n");
    let plain = body.replace("\\{", "").replace("\\}", "");
    assert_eq!(plain.matches('{').count(), plain.matches('}').count());
    for bad in ["R&D", "100% #", "顔", "<b>"] {
        assert!(!body.contains(bad), "{bad}");
    }
    assert_eq!(
        escape_latex("50 % & a_b #1 {x} ~ ^ \\ \"q\" 顔"),
        "50 \\% \\& a\\_b \\#1 \\{x\\} \\textasciitilde{} \\textasciicircum{} \\textbackslash{} ''q'' \\texttt{U+9854}"
    );
    let cells = |l: &str| l.replace("\\&", "").matches('&').count();
    let rows = body.lines().filter(|l| l.contains("\\\\") && l.contains(" & ") && !l.contains("multicolumn"));
    assert!(rows.clone().count() >= 5 && rows.clone().all(|l| cells(l) == 4), "{body}");
}

#[test]
fn a_table_that_would_mislead_is_refused() {
    let refused = |change: fn(&mut Table), word: &str| {
        let mut table = table();
        change(&mut table);
        for format in Format::ALL {
            let message = write(&table, format, &Style::default()).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    };
    refused(|t| t.groups[2].ranked = true, "selected on the test set");
    refused(|t| t.groups[0].rows[0].cells.truncate(2), "2 cells, expected 3");
    refused(|t| t.groups[0].rows[0].labels.truncate(1), "1 labels, expected 2");
    refused(|t| t.groups[0].rows[0].cells[1] = Cell::Value(Value::single(f64::NAN)), "is NaN");
    refused(|t| t.groups[0].rows[0].notes = vec![7], "footnotes");
}

/// Builds `tex` with the packages its first line names; `None` where there is no TeX.
fn built(dir: &std::path::Path, name: &str, tex: &str) -> Option<String> {
    let packages = tex.lines().next().unwrap().split_once("needs ").unwrap().1.replace(' ', "");
    let text = format!(
        "\\documentclass{{article}}\n\\usepackage{{{packages}}}\n\\begin{{document}}\n{tex}\\end{{document}}\n"
    );
    std::fs::write(dir.join(format!("{name}.tex")), text).unwrap();
    let mut command = std::process::Command::new("pdflatex");
    command.args(["-halt-on-error", "-interaction=nonstopmode", &format!("{name}.tex")]).current_dir(dir);
    let Ok(out) = command.output() else {
        eprintln!("pdflatex is not installed: that tables compile is not tested");
        return None;
    };
    let log = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && dir.join(format!("{name}.pdf")).is_file(), "{name}: {log}");
    Some(log)
}

#[test]
fn latex_tables_compile_and_fit_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut wide = table();
    let (column, cell) = (wide.columns[0].clone(), Cell::Value(Value::single(0.5)));
    wide.columns.extend((0..14).map(|i| Column { set: format!("s{i}"), ..column.clone() }));
    for group in &mut wide.groups {
        group.rows.iter_mut().for_each(|r| r.cells.extend(vec![cell.clone(); 14]));
    }
    let mut long = table();
    let plain = row("method", RowKind::Run, [Some(0.5), Some(0.1), Some(0.2)]);
    long.groups[0].rows.extend(vec![plain.clone(); 200]);
    let one = Table {
        groups: vec![Group { title: String::new(), ranked: true, rows: vec![plain] }],
        notes: Vec::new(),
        ..table()
    };
    for (name, table) in [("nasty", table()), ("wide", wide), ("long", long), ("one", one)] {
        let tex = write(&table, Format::Latex, &Style { interval: true, ..Style::default() }).unwrap();
        let Some(log) = built(dir.path(), name, &tex) else { return };
        // a long table cannot be shrunk, because it breaks over pages
        assert!(name == "long" || !log.contains("Overfull"), "{name}: {log}");
        if let Ok(keep) = std::env::var("LOOK") {
            std::fs::copy(dir.path().join(format!("{name}.pdf")), format!("{keep}/{name}.pdf")).unwrap();
        }
    }
}
