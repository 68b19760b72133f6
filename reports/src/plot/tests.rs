//! Figures are well-formed, equal when drawn twice, and refuse what they cannot draw honestly.

use super::*;

fn scored(n: usize, shift: f64) -> Vec<Scored> {
    (0..n)
        .map(|i| {
            let fake = i % 2 == 0;
            let noise = ((i * 7919) % 1000) as f64 / 1000.0;
            let score = (noise * 0.7 + if fake { shift } else { 0.0 }).clamp(0.0, 1.0);
            Scored { score, fake, video: i / 4 * 2 + i % 2 }
        })
        .collect()
}

fn roc(log_x: bool) -> Roc {
    let names = [
        "random init, linear",
        "MAE, linear",
        "FS-VFM <CRFR-P & SD>, FS-Adapter with a very long name indeed",
    ];
    let curves = names
        .iter()
        .enumerate()
        .map(|(i, n)| RocCurve::of(n, &scored(400, 0.1 + 0.1 * i as f64), 100).unwrap());
    Roc {
        id: format!("roc-{log_x}"),
        title: "ROC, CDFv2-noYT, video level · synthetic".into(),
        log_x,
        curves: curves.collect(),
    }
}

fn histogram() -> Histogram {
    let mut h = Histogram::new("scores", "Scores of FS-VFM, linear");
    for (i, name) in ["FF++ (in-domain)", "CDFv2-noYT", "DFDC", "DFDCP", "WDF"].iter().enumerate() {
        let thresholds = vec![
            Threshold { name: "dev EER".into(), at: 0.35 + 0.1 * i as f64 },
            Threshold { name: "test EER".into(), at: 0.6 },
        ];
        h.add(name, scored(900, 0.3 - 0.05 * i as f64).iter().map(|s| (s.score, s.fake)), thresholds);
    }
    h
}

fn curves() -> Curves {
    let line = |name: &str, k: f64| Line {
        name: name.into(),
        points: (0..60).map(|i| (f64::from(i), k * (-f64::from(i) / 20.0).exp() + 0.2)).collect(),
    };
    Curves {
        id: "training".into(),
        title: "Pre-training of FS-VFM (seed 0)".into(),
        x: "epoch".into(),
        y: "loss".into(),
        log_x: false,
        lines: vec![line("total", 0.7), line("rec", 0.6), line("sfr", 0.9), line("cl", 0.3)],
        whiskers: Vec::new(),
    }
}

fn bars() -> Bars {
    let mut bars = Vec::new();
    for (c, category) in ["CDFv2-noYT", "DFDC", "DFDCP", "WDF"].iter().enumerate() {
        for (s, series) in ["random init", "MAE", "FS-VFM"].iter().enumerate() {
            let value = 55.0 + 8.0 * s as f64 + 2.0 * c as f64;
            bars.push(Bar {
                category: (*category).into(),
                series: (*series).into(),
                value,
                interval: Some((value - 4.0, value + 3.0)),
            });
        }
    }
    Bars {
        id: "bars".into(),
        title: "Video AUC by pre-training".into(),
        y: "Video AUC (%)".into(),
        base: 50.0,
        bars,
    }
}

fn forest() -> Forest {
    let row = |name: &str, group: &str, delta: f64, p: f64| Difference {
        name: name.into(),
        group: group.into(),
        delta,
        interval: (delta - 3.0, delta + 3.5),
        p,
        different: p < 0.05,
    };
    Forest {
        id: "forest".into(),
        title: "Paired differences to the best".into(),
        x: "Δ video AUC (points)".into(),
        rows: vec![
            row("random init − FS-VFM", "CDFv2-noYT", -14.0, 0.0001),
            row("MAE − FS-VFM", "CDFv2-noYT", -1.0, 0.4),
            row("random init − FS-VFM", "DFDC", -8.0, 0.01),
            row("MAE − FS-VFM", "DFDC", 2.0, 0.8),
        ],
    }
}

fn heat() -> Heat {
    let names: Vec<String> = ["DF", "F2F", "FS", "NT"].map(String::from).to_vec();
    Heat {
        id: "heat".into(),
        title: "Cross-manipulation, video AUC (%)".into(),
        row_axis: "trained on".into(),
        column_axis: "tested on".into(),
        rows: names.clone(),
        columns: names,
        values: (0..4)
            .map(|r| (0..4).map(|c| (r + c != 5).then(|| 0.5 + 0.12 * f64::from(r * c % 5))).collect())
            .collect(),
        range: (0.5, 1.0),
        shift: 2,
        decimals: 1,
    }
}

fn det() -> Det {
    Det { id: "det".into(), title: "DET, CDFv2-noYT, video level".into(), curves: roc(false).curves }
}

fn reliability() -> Reliability {
    let series = |name: &str, shift: f64| Calibration::of(name, &scored(400, shift), 10);
    Reliability {
        id: "reliability".into(),
        title: "Calibration on CDFv2-noYT".into(),
        series: vec![series("MAE, linear", 0.1), series("FS-VFM, linear", 0.3)],
    }
}

fn bubbles(lower_is_better: bool) -> Bubbles {
    let row = |name: &str, family: &str, total: f64, trained: f64, value: f64| Bubble {
        name: name.into(),
        family: family.into(),
        total,
        trained,
        value,
    };
    Bubbles {
        id: format!("bubbles-{lower_is_better}"),
        title: "Parameters and quality".into(),
        y: if lower_is_better { "Mean HTER (%)" } else { "Mean video AUC (%)" }.into(),
        lower_is_better,
        rows: vec![
            row("FS-VFM S", "fsvfm", 21.7e6, 21.7e6, 86.0),
            row("FS-VFM B", "fsvfm", 85.8e6, 85.8e6, 89.5),
            row("FS-VFM L", "fsvfm", 303.3e6, 303.3e6, 91.2),
            row("FS-Adapter B", "adapter", 86.1e6, 0.335e6, 87.0),
        ],
    }
}

fn radar() -> Radar {
    let row = |name: &str, k: f64| Line {
        name: name.into(),
        points: (0..5).map(|i| (f64::from(i), 60.0 + k * f64::from(i * 7 % 5))).collect(),
    };
    Radar {
        id: "radar".into(),
        title: "Video AUC over test sets".into(),
        what: "Video AUC (%)".into(),
        rays: ["FF++ (seen)", "CDFv2-noYT", "DFDC", "DFDCP", "WDF"].map(String::from).to_vec(),
        origin: 50.0,
        rim: 100.0,
        rows: vec![row("MAE", 4.0), row("FS-VFM", 8.0)],
    }
}

fn scatter() -> Scatter {
    let dot = |i: usize| Dot {
        id: format!("d/m/v/{i}"),
        domain: ["FF++", "CDFv2", "DFDC"][i % 3].into(),
        fake: i.is_multiple_of(2),
        at: ((i * 37 % 101) as f64, (i * 53 % 97) as f64),
    };
    Scatter {
        id: "tsne".into(),
        title: "Features of FS-VFM".into(),
        caption: "t-SNE, perplexity 30, 120 samples.".into(),
        dots: (0..120).map(dot).collect(),
    }
}

fn all(png: bool) -> Vec<Figure> {
    vec![
        render(&det(), png).unwrap(),
        render(&reliability(), png).unwrap(),
        render(&bubbles(false), png).unwrap(),
        render(&bubbles(true), png).unwrap(),
        render(&radar(), png).unwrap(),
        render(&scatter(), png).unwrap(),
        render(&roc(false), png).unwrap(),
        render(&roc(true), png).unwrap(),
        render(&histogram(), png).unwrap(),
        render(&curves(), png).unwrap(),
        render(&bars(), png).unwrap(),
        render(&forest(), png).unwrap(),
        render(&heat(), png).unwrap(),
    ]
}

#[test]
fn figures_are_equal_when_drawn_twice() {
    for (a, b) in all(true).iter().zip(&all(true)) {
        assert_eq!(a.svg, b.svg, "{}", a.id);
        assert_eq!(a.png, b.png, "{}", a.id);
        assert_eq!(a.csv, b.csv, "{}", a.id);
        if let Ok(dir) = std::env::var("LOOK") {
            std::fs::write(format!("{dir}/{}.svg", a.id), &a.svg).unwrap();
            std::fs::write(format!("{dir}/{}.png", a.id), a.png.as_ref().unwrap()).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_with_its_name() {
    let refused = |result: Result<Figure, Error>, word: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refused(render(&Roc { curves: Vec::new(), ..roc(false) }, false), "no curves");
    refused(render(&Histogram::new("h", "h"), false), "no panels");
    let line =
        |points: Vec<(f64, f64)>| Curves { lines: vec![Line { name: "x".into(), points }], ..curves() };
    refused(render(&line(vec![(0.0, f64::NAN)]), false), "not finite");
    refused(render(&line(Vec::new()), false), "no points");
    refused(render(&Curves { log_x: true, ..line(vec![(0.0, 1.0)]) }, false), "positive");
    refused(render(&Bars { bars: Vec::new(), ..bars() }, false), "no bars");
    refused(render(&Forest { rows: Vec::new(), ..forest() }, false), "no comparisons");
    refused(render(&Heat { values: Vec::new(), ..heat() }, false), "do not fill");
    refused(render(&Det { curves: Vec::new(), ..det() }, false), "no curve");
    refused(render(&Reliability { series: Vec::new(), ..reliability() }, false), "no samples");
    refused(render(&Bubbles { rows: Vec::new(), ..bubbles(false) }, false), "no rows");
    refused(render(&Radar { rays: vec!["a".into()], ..radar() }, false), "three to eight");
    refused(render(&Scatter { dots: Vec::new(), ..scatter() }, false), "no points");
    let one_class: Vec<Scored> = scored(8, 0.2).into_iter().filter(|s| s.fake).collect();
    assert!(RocCurve::of("x", &one_class, 0).unwrap_err().to_string().contains("real and fake"));
}

#[test]
fn a_single_point_and_equal_values_can_be_drawn() {
    let line =
        |points: Vec<(f64, f64)>| Curves { lines: vec![Line { name: "x".into(), points }], ..curves() };
    render(&line(vec![(3.0, 7.0)]), true).unwrap();
    render(&line(vec![(0.0, 2.0), (1.0, 2.0), (2.0, 2.0)]), true).unwrap();
    let many = (0..80)
        .map(|i| Line { name: format!("series {i}"), points: vec![(0.0, f64::from(i)), (1.0, 1.0)] })
        .collect();
    render(&Curves { lines: many, ..curves() }, true).unwrap();
}

#[test]
fn the_curve_has_the_metric_s_auc_and_lies_in_its_band() {
    for shift in [0.0, 0.2, 0.5] {
        let mut samples = scored(600, shift);
        samples.iter_mut().for_each(|s| s.score = (s.score * 20.0).round() / 20.0); // many ties
        let (scores, labels): (Vec<f64>, Vec<u8>) =
            samples.iter().map(|s| (s.score, u8::from(s.fake))).unzip();
        let curve = RocCurve::of("x", &samples, 200).unwrap();
        assert!((curve.auc - facebench_protocols::metrics::auc(&scores, &labels).unwrap()).abs() < 1e-12);
        assert_eq!((curve.points[0], *curve.points.last().unwrap()), ((0.0, 0.0), (1.0, 1.0)));
        let at = |x: f64| {
            let after = curve.points.partition_point(|p| p.0 <= x).clamp(1, curve.points.len() - 1);
            let (a, b) = (curve.points[after - 1], curve.points[after]);
            a.1 + (b.1 - a.1) * ((x - a.0) / (b.0 - a.0).max(1e-12)).clamp(0.0, 1.0)
        };
        let inside = curve.band.iter().filter(|(x, l, h)| (l - 1e-9..=h + 1e-9).contains(&at(*x))).count();
        assert!(inside * 100 >= curve.band.len() * 98, "{inside} of {}", curve.band.len());
    }
}

#[test]
fn svg_is_well_formed_and_speaks() {
    for figure in all(false) {
        assert!(figure.svg.starts_with("<svg ") && figure.svg.trim_end().ends_with("</svg>"));
        for part in ["<title>", "<desc>", "role=\"img\"", "@font-face", "viewBox=\"0 0 6600 "] {
            assert!(figure.svg.contains(part), "{}: {part}", figure.id);
        }
        let text = &figure.svg;
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
        assert!(!text.contains("<CRFR-P & SD>") && !text.contains("http://www.w3.org/1999"));
        let inline = inline(text, &figure.id);
        assert!(
            inline.contains(&format!("<title id=\"{}-t\">", figure.id)) && !inline.contains("@font-face")
        );
        assert!(figure.csv.lines().count() > 1 && figure.description.len() > 20);
    }
}

#[test]
fn series_differ_in_more_than_colour() {
    let looks: Vec<_> = (0..12).map(palette::look).collect();
    for (i, a) in looks.iter().enumerate() {
        for b in &looks[i + 1..] {
            assert!(a.dash != b.dash || a.marker != b.marker, "series {i}");
        }
    }
}

#[test]
fn the_calibration_error_is_the_metric_s() {
    let samples = scored(500, 0.2);
    let (scores, labels): (Vec<f64>, Vec<u8>) = samples.iter().map(|s| (s.score, u8::from(s.fake))).unzip();
    let ece = facebench_protocols::metrics::ece(&scores, &labels, 10).unwrap();
    assert!((Calibration::of("x", &samples, 10).ece - ece).abs() < 1e-12);
}
