//! Pages in a real browser: they sort, can be used with the keyboard, are readable, print, and ask for nothing.
//!
//! Skipped, with a line, where no Chromium is installed. `LOOK=folder` keeps screenshots and the printed page there.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use facebench_tests::browser::{Browser, url};
use facebench_tests::{Bench, built, said};
use serde_json::{Value, json};

use crate::fixture::{all, copy, finished};

const ASK: &str = include_str!("browser.js");

/// Least contrast of text (WCAG 2.2, success criterion 1.4.3, level AA).
const CONTRAST: f64 = 4.5;
/// Least contrast of what shows the focus (1.4.11).
const FOCUS: f64 = 3.0;
/// Content of an A4 page at 96 pixels per inch, less Chromium's margins of 1 cm.
const PAPER: u32 = 794 - 2 * 38;

/// Models beside those of the shared run: name and how much better; one has a gap.
const MORE: [(&str, f64); 4] = [
    ("ViT-B/16 <ImageNet-21k> & friends", -0.03),
    ("A method whose name has sixty characters, all of them useful", 0.011),
    ("Zeta", 0.02),
    ("Gap", 0.0),
];

struct Pages {
    plain: PathBuf,
    pictures: PathBuf,
    board: PathBuf,
}

/// A report, the same with pictures of people, and a leaderboard, made once.
fn pages() -> &'static Pages {
    static PAGES: OnceLock<Pages> = OnceLock::new();
    PAGES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        let _ = std::fs::remove_dir_all(&folder);
        let runs = folder.join("runs");
        for prefix in ["score-", "pretrain-"] {
            for run in all(&finished().join("runs"), prefix) {
                copy(&run, &runs.join(run.file_name().expect("a name")));
            }
        }
        for run in all(&runs, "pretrain-") {
            edit(&run, |r| r["synthetic"] = json!(false)); // stands for faces of real people
        }
        for run in all(&runs, "score-") {
            for (i, (model, better)) in MORE.iter().enumerate() {
                let name = run.file_name().expect("a name").to_string_lossy();
                let other = runs.join(name.replace("score-", &format!("score-{i}")));
                copy(&run, &other);
                edit(&other, |r| variant(r, model, *better, i));
            }
        }
        let facebench = |args: &[&str]| {
            let mut command = std::process::Command::new(built().join("facebench"));
            said(command.args(args).current_dir(&folder), args).ok();
        };
        facebench(&["report", "runs", "--format", "html", "--out", "plain", "--cite"]);
        facebench(&["report", "runs", "--format", "html", "--out", "pictures", "--with-images"]);
        for model in ["Random", "FS-VFM"] {
            let only = format!("model={model}");
            let out = format!("bundles/{model}");
            let source = finished().join("runs").display().to_string();
            facebench(&["leaderboard", "pack", &source, "--name", model, "--only", &only, "--out", &out]);
        }
        facebench(&["leaderboard", "site", "bundles", "--out", "site"]);
        Pages {
            plain: folder.join("plain/report.html"),
            pictures: folder.join("pictures/report.html"),
            board: folder.join("site/index.html"),
        }
    })
}

fn edit(run: &Path, change: impl FnOnce(&mut Value)) {
    let file = run.join("run.json");
    let mut record = serde_json::from_slice(&std::fs::read(&file).expect("record")).expect("JSON");
    change(&mut record);
    std::fs::write(file, record.to_string()).expect("record");
}

/// Another model's run, made from this record.
fn variant(record: &mut Value, model: &str, better: f64, number: usize) {
    let unit = record["unit"].as_str().expect("unit").to_owned();
    record["unit"] = json!(format!("{number}{}", &unit[1..]));
    record["model"] = json!(model);
    let sets = record["evaluation"]["sets"].as_array_mut().expect("sets");
    for m in sets.iter_mut() {
        for key in ["video_auc", "frame_auc"] {
            m[key] = json!((m[key].as_f64().expect("a number") * 0.9 + better).clamp(0.0, 1.0));
        }
    }
    if model == "Gap" {
        sets.remove(0);
    }
}

/// A browser on a page, light, in a window of that size; `None` where there is no browser.
fn browser(page: &Path, (width, height): (u32, u32)) -> Option<Browser> {
    let mut browser = Browser::start()?;
    browser.window(width, height);
    browser.media("screen", "light");
    open(&mut browser, page);
    Some(browser)
}

fn open(browser: &mut Browser, page: &Path) {
    browser.open(page);
    browser.eval(ASK);
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("a list: {value}"));
    list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect()
}

/// Where to keep what the page looks like, if somebody wants to look.
fn look(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("LOOK")?);
    std::fs::create_dir_all(&folder).expect("folder");
    Some(folder.join(name))
}

/// Values of a column, a list per group of rows, are in order, missing ones last.
fn in_order(column: &Value, down: bool) -> bool {
    column.as_array().expect("groups").iter().all(|group| {
        let rows = group.as_array().expect("rows");
        let missing_last = rows.iter().skip_while(|v| !v.is_null()).all(Value::is_null);
        let numbers: Vec<f64> = rows.iter().filter_map(Value::as_f64).collect();
        let pairs = numbers.windows(2).all(|w| if down { w[0] >= w[1] } else { w[0] <= w[1] });
        missing_last && pairs && numbers.len() + rows.iter().filter(|v| v.is_null()).count() == rows.len()
    })
}

#[test]
fn tables_sort_with_mouse_and_keyboard() {
    let Some(mut b) = browser(&pages().plain, (1280, 900)) else { return };
    let table = "#table-dfd-cross table";
    let heads = texts(&b.eval(&format!("ask.heads('{table}')")));
    assert!(heads.len() >= 4 && heads[0] == "Model", "{heads:?}");
    let column = format!("ask.column('{table}', 2)");
    let button = format!("document.querySelectorAll('{table} thead button')[2]");
    let before = b.eval(&column);
    let rows = before.as_array().expect("groups").iter().map(|g| g.as_array().expect("rows").len());
    assert!(rows.max() >= Some(MORE.len() + 2), "{before}");
    assert!(before.to_string().contains("null"), "one row has a gap: {before}");
    assert!(!in_order(&before, true), "the rows were sorted already: {before}");

    b.click(&button);
    assert!(in_order(&b.eval(&column), true), "{}", b.eval(&column)); // higher is better: best first
    assert_eq!(texts(&b.eval(&format!("ask.sorted('{table}')"))), ["descending"]);
    let said = b.eval("document.getElementById('live').textContent");
    assert!(said.as_str().expect("text").starts_with("sorted by "), "{said}");
    for (key, code, down) in [("Enter", 13, false), (" ", 32, true), ("Enter", 13, false)] {
        b.eval(&format!("{button}.focus()"));
        b.key(key, code);
        assert!(in_order(&b.eval(&column), down), "{key:?}: {}", b.eval(&column));
        let state = texts(&b.eval(&format!("ask.sorted('{table}')")));
        assert_eq!(state, [if down { "descending" } else { "ascending" }], "{key:?}");
        let kept = b.eval(&format!("document.activeElement === {button}"));
        assert_eq!(kept, json!(true), "{key:?} moved the focus");
    }
    // another column: names, and only one column is the sorted one
    b.click(&format!("document.querySelectorAll('{table} thead button')[0]"));
    assert_eq!(texts(&b.eval(&format!("ask.sorted('{table}')"))), ["ascending"]);
    let names = b.eval(&format!("ask.column('{table}', 0)"));
    for group in names.as_array().expect("groups") {
        let names: Vec<String> = texts(group).iter().map(|n| n.to_lowercase()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
    assert_eq!(b.complaints(), [""; 0]);
}

#[test]
fn the_keyboard_reaches_everything_in_order_and_shows_where_it_is() {
    for page in [&pages().plain, &pages().board] {
        let Some(mut b) = browser(page, (1280, 900)) else { return };
        for scheme in ["light", "dark"] {
            b.media("screen", scheme);
            open(&mut b, page);
            let stops = b.eval("ask.stops().length").as_u64().expect("a count");
            assert!(stops > 20, "{stops} stops");
            for expected in 0..stops {
                b.key("Tab", 9);
                let focus = b.eval("ask.focus()");
                assert_eq!(focus["at"], json!(expected), "tab order: {focus}");
                assert_eq!(focus["inside"], json!(true), "not in the window: {focus}");
                let ratio = focus["ratio"].as_f64().expect("a ratio");
                assert!(focus["ring"] == json!(true) && ratio >= FOCUS, "the focus does not show: {focus}");
            }
        }
        // the first stop skips to the results
        open(&mut b, page);
        b.key("Tab", 9);
        b.key("Enter", 13);
        assert_eq!(b.eval("location.hash"), json!("#results"));
    }
}

#[test]
fn pages_ask_for_nothing_and_complain_about_nothing() {
    for page in [&pages().plain, &pages().pictures, &pages().board] {
        let Some(mut b) = browser(page, (1280, 900)) else { return };
        b.eval("ask.unfold()");
        b.media("print", "light");
        b.media("screen", "dark");
        b.click("document.querySelector('.command button')");
        assert_eq!(b.requests(), [url(page)]);
        assert_eq!(b.complaints(), [""; 0]);
        let blocked = b.eval("fetch('https://example.org/').then(() => 'answered', () => 'refused')");
        assert_eq!(blocked, json!("refused"), "the page's policy lets requests out");
        assert!(!b.complaints().is_empty(), "a refused request is a complaint, so complaints are seen");
    }
}

#[test]
fn text_is_readable_in_light_and_dark() {
    for (name, page) in [("report", &pages().pictures), ("board", &pages().board)] {
        let Some(mut b) = browser(page, (1280, 900)) else { return };
        for scheme in ["light", "dark"] {
            b.media("screen", scheme);
            open(&mut b, page);
            if let Some(file) = look(&format!("{name}-{scheme}.png")) {
                let height = b.eval("ask.height()").as_u64().expect("a height");
                b.window(1280, u32::try_from(height).expect("a height"));
                b.screenshot(&file);
            }
            b.eval("ask.unfold()");
            let height = b.eval("ask.height()").as_u64().expect("a height");
            b.window(1280, u32::try_from(height).expect("a height"));
            let found = b.eval(&format!("ask.contrast({CONTRAST})"));
            assert!(found["count"].as_u64() > Some(100), "{scheme}: {} texts", found["count"]);
            assert_eq!(texts(&found["bad"]), [""; 0], "{name}, {scheme}");
            b.window(1280, 900);
        }
        // the measure itself: grey on white is found
        b.media("screen", "light");
        b.eval("document.querySelector('h1').style.color = '#999'");
        let found = b.eval(&format!("ask.contrast({CONTRAST})"));
        assert!(texts(&found["bad"]).iter().any(|l| l.starts_with("2.85 ")), "{found}");
    }
}

#[test]
fn nothing_is_wider_than_a_telephone() {
    for (name, page) in [("report", &pages().pictures), ("board", &pages().board)] {
        let Some(mut b) = browser(page, (390, 844)) else { return };
        if let Some(file) = look(&format!("{name}-mobile.png")) {
            b.screenshot(&file);
        }
        b.eval("ask.unfold()");
        let wide = b.eval("ask.wide()");
        assert_eq!(wide["window"], json!(390), "the page makes the telephone zoom out: {wide}");
        assert_eq!((&wide["page"], texts(&wide["out"])), (&json!(390), Vec::new()), "{name}");
    }
}

#[test]
fn tables_are_there_without_scripts_and_whole_on_paper() {
    let page = &pages().plain;
    let Some(mut b) = browser(page, (1280, 900)) else { return };
    let cells = "[...document.querySelectorAll('td,th')].map(c => c.textContent.trim()).join('|')";
    let with = b.eval(cells);
    b.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    b.open(page);
    assert_eq!(b.eval("document.querySelectorAll('button').length"), json!(0), "scripts ran");
    assert!(b.eval(cells) == with, "cells differ without scripts");
    assert!(with.as_str().is_some_and(|t| t.contains("Zeta")), "no table");
    b.eval("document.querySelector('details').querySelector('summary').click()");
    assert_eq!(b.eval("document.querySelector('details').open"), json!(true), "what is folded cannot open");
    b.call("Emulation.setScriptExecutionDisabled", &json!({"value": false}));

    for (name, page) in [("report", page), ("board", &pages().board)] {
        b.media("", "dark"); // paper stays white
        open(&mut b, page);
        let pdf = b.pdf();
        assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 20_000, "{} bytes", pdf.len());
        if let Some(file) = look(&format!("{name}.pdf")) {
            std::fs::write(file, &pdf).expect("file");
        }
        b.media("print", "dark");
        b.window(PAPER, 1000);
        b.eval("ask.unfold()");
        assert_eq!(texts(&b.eval(&format!("ask.cut({PAPER})"))), [""; 0], "{name}");
        let paper = b.eval("getComputedStyle(document.body).backgroundColor");
        assert_eq!(paper, json!("rgb(255, 255, 255)"));
        let height = b.eval("ask.height()").as_u64().expect("a height");
        b.window(PAPER, u32::try_from(height).expect("a height"));
        assert_eq!(texts(&b.eval(&format!("ask.contrast({CONTRAST}).bad"))), [""; 0], "{name} on paper");
        b.window(1280, 900);
    }
}

#[test]
fn faces_of_people_are_shown_on_demand_only() {
    let Some(mut b) = browser(&pages().plain, (1280, 900)) else { return };
    let pictures = "[...document.images].map(i => [i.src.slice(0, 22), i.naturalWidth, i.alt])";
    assert_eq!(b.eval(pictures), json!([]));
    b.open(&pages().pictures);
    let shown = b.eval(pictures);
    let shown = shown.as_array().expect("pictures");
    assert!(!shown.is_empty());
    for picture in shown {
        assert_eq!(picture[0], json!("data:image/png;base64,"));
        assert!(picture[1].as_u64() > Some(300), "the picture does not show: {picture}");
        assert!(picture[2].as_str().is_some_and(|alt| alt.contains("reconstructions")), "{picture}");
    }
}

#[test]
fn the_report_says_how_to_keep_faces_out() {
    Bench::new().run(&["report", "--help"]).ok().stdout_has("--with-images");
}
