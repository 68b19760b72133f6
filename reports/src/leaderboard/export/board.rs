//! The boards and their rules, as data.

/// What the lines of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"name": "real"|"fake", …}`.
    JsonWords,
    /// `filename,label` with real or fake.
    CsvWords,
    /// `filename,label` with a score.
    CsvScores,
    /// `name score`, in the order of the list.
    Lines,
}

/// What a score means to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// P(fake), P(spoof).
    Fake,
    /// P(live), P(real).
    Live,
}

/// A leaderboard somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Name to type.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Lines.
    pub form: Form,
    /// Polarity of scores.
    pub polarity: Polarity,
    /// Allowed numbers of lines; any if empty.
    pub lines: &'static [usize],
    /// Name of the only file in the zip archive; a plain file if absent.
    pub archive: Option<&'static str>,
    /// Whether the metric is log loss.
    pub log_loss: bool,
    /// Worth knowing.
    pub note: &'static str,
}

impl Board {
    /// The board called `id`.
    pub fn get(id: &str) -> Option<&'static Board> {
        BOARDS.iter().find(|b| b.id == id)
    }

    /// Extension of the file to upload.
    pub fn extension(&self) -> &'static str {
        match (self.archive, self.form) {
            (Some(_), _) => "zip",
            (None, Form::JsonWords) => "json",
            (None, Form::CsvWords | Form::CsvScores) => "csv",
            (None, Form::Lines) => "txt",
        }
    }
}

const PLAIN: Board = Board {
    id: "",
    title: "",
    form: Form::Lines,
    polarity: Polarity::Fake,
    lines: &[],
    archive: None,
    log_loss: false,
    note: "",
};

/// Every board that can be exported to, the general forms last.
pub const BOARDS: [Board; 10] = [
    Board {
        id: "faceforensics",
        title: "FaceForensics++ benchmark",
        form: Form::JsonWords,
        lines: &[1000],
        archive: Some("submission.json"),
        note: "1,000 images; resubmission is blocked for two weeks",
        ..PLAIN
    },
    Board {
        id: "dfbench-image-2025",
        title: "DFBench leaderboard, images 2025",
        form: Form::CsvWords,
        lines: &[2920],
        note: "predictions.csv for 2,920 images without labels",
        ..PLAIN
    },
    Board {
        id: "dfdc",
        title: "Deepfake Detection Challenge (closed; the format is still used)",
        form: Form::CsvScores,
        log_loss: true,
        note: "log loss: clip the scores",
        ..PLAIN
    },
    Board {
        id: "cefa-2020",
        title: "ChaLearn CeFA 2020",
        polarity: Polarity::Live,
        lines: &[600, 7200],
        note: "phase 1: 4@1, 4@2, 4@3 dev, 600 lines; phase 2: dev and test of each, 7,200 lines; score = P(live)",
        ..PLAIN
    },
    Board {
        id: "wild-2023",
        title: "Face anti-spoofing in the wild, CVPR 2023",
        polarity: Polarity::Live,
        lines: &[140_058, 895_237],
        archive: Some("submission.txt"),
        note: "dev 140,058 lines; final 895,237 = dev and test; score = P(live)",
        ..PLAIN
    },
    Board {
        id: "uniattack-2024",
        title: "UniAttackData, CVPR 2024",
        polarity: Polarity::Live,
        archive: Some("submission.txt"),
        note: "protocols 1, 2.1, 2.2: 6,000 + 5,006 + 4,200 lines of dev, then test; score = P(live), though its training labels are live = 0",
        ..PLAIN
    },
    Board {
        id: "celeba-spoof-2020",
        title: "CelebA-Spoof challenge, ECCV 2020",
        note: "one score per image, spoof = positive",
        ..PLAIN
    },
    Board { id: "csv", title: "filename,label with P(fake)", form: Form::CsvScores, ..PLAIN },
    Board { id: "lines", title: "lines `name score` with P(fake), in the order of the list", ..PLAIN },
    Board {
        id: "lines-live",
        title: "lines `name score` with P(live), in the order of the list",
        polarity: Polarity::Live,
        ..PLAIN
    },
];
