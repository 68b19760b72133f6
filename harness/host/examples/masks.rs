//! How fast masks are made: every strategy through the plugin boundary, on one thread, parsing map included.
//!
//! ```text
//! cargo build --release && cargo run --release -p facebench-host --example masks
//! ```
//! Arguments: seconds per strategy (default 1). Time is that of the processor, so other work on the machine does not show.
//! The map is a face of 224 x 224 pixels on a grid of 14 x 14 at ratio 0.75; a
//! checker of all labels shows the cost of a map without flat parts. Fails below 50,000 masks a second on the face: masking
//! must never be what training waits for.

use std::sync::OnceLock;
use std::time::Instant;

use facebench_host::{Plugins, default_dirs};
use serde_json::json;

/// Masks a second on one core that every strategy must reach on a face.
const LEAST: f64 = 50_000.0;
const SIDE: usize = 224;
const GRID: (usize, usize) = (14, 14);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(1.0), |a| a.parse())?;
    let plugins = Plugins::open(&default_dirs(&[]))?;
    let mut slow = Vec::new();
    for name in ["random", "fasking-i", "frp", "crfr-r", "crfr-p"] {
        let strategy = plugins.masking(name, &json!({}))?;
        let mut rates = Vec::new();
        for map in [face(), checker()] {
            let view = strategy.needs_parsing().then_some((map.as_slice(), SIDE, SIDE));
            let (mut mask, mut region) = (vec![0; GRID.0 * GRID.1], vec![0; GRID.0 * GRID.1]);
            let (start, mut count) = (processor_seconds(), 0u64);
            while processor_seconds() - start < seconds {
                for _ in 0..200 {
                    strategy.mask(view, GRID, 0.75, [count, 1], [count, 2], &mut mask, &mut region)?;
                    count += 1;
                }
            }
            rates.push(count as f64 / (processor_seconds() - start));
        }
        println!("{name:10} {:9.0} masks/s on a face, {:9.0} on a checker of labels", rates[0], rates[1]);
        if rates[0] < LEAST {
            slow.push(name);
        }
    }
    if slow.is_empty() { Ok(()) } else { Err(format!("below {LEAST} masks/s: {}", slow.join(", ")).into()) }
}

/// Processor time of this thread where the system tells (Linux), else wall time.
fn processor_seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

/// Ellipses in about the right places: label, centre and half-axes in pixels.
fn face() -> Vec<u8> {
    const PARTS: [(u8, i64, i64, i64, i64); 10] = [
        (10, 112, 94, 87, 92),
        (1, 112, 119, 69, 87),
        (2, 83, 81, 18, 5),
        (3, 141, 81, 18, 5),
        (4, 83, 96, 13, 7),
        (5, 141, 96, 13, 7),
        (6, 112, 121, 11, 25),
        (7, 112, 159, 25, 5),
        (8, 112, 166, 20, 5),
        (9, 112, 172, 22, 7),
    ];
    let mut labels = vec![0; SIDE * SIDE];
    for (label, cx, cy, a, b) in PARTS {
        for (i, pixel) in labels.iter_mut().enumerate() {
            let (x, y) = ((i % SIDE) as i64 - cx, (i / SIDE) as i64 - cy);
            if x * x * b * b + y * y * a * a < a * a * b * b {
                *pixel = label;
            }
        }
    }
    labels
}

fn checker() -> Vec<u8> {
    (0..SIDE * SIDE).map(|i| ((i % SIDE / 9 + i / SIDE / 7) % 11) as u8).collect()
}
