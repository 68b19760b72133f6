//! Finishing what plotters writes: real size, title and description, the embedded font.
//!
//! plotters' root element is replaced; its drawing is kept byte for byte. `inline` prepares a figure for an HTML page,
//! which embeds the font once for all figures.

use crate::write::escape_html;

/// The small cut of the fonts, for documents.
const WEB_REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.woff2");
const WEB_BOLD: &[u8] = include_bytes!("../../assets/Inter-Bold.woff2");

/// `@font-face` rules with the fonts inside.
pub(crate) fn font_faces() -> String {
    [("normal", WEB_REGULAR), ("bold", WEB_BOLD)]
        .map(|(weight, bytes)| {
            format!(
                "@font-face{{font-family:Inter;font-weight:{weight};src:url(data:font/woff2;base64,{}) format('woff2')}}",
                base64(bytes)
            )
        })
        .join("\n")
}

/// A stand-alone SVG of `width × height` CSS pixels.
pub(super) fn finish(raw: &str, (width, height): (u32, u32), title: &str, description: &str) -> String {
    let (root, drawing) = raw.split_once(">\n").expect("plotters opens with a root element on its own line");
    let view = root
        .split("viewBox=\"")
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("plotters writes a view box");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"{view}\" role=\"img\">\n\
         <title>{}</title>\n<desc>{}</desc>\n<style>{}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n{drawing}",
        escape_html(title),
        escape_html(description),
        font_faces(),
    )
}

/// The figure for an HTML page: no font, no paper, fluid width, title and description referenced by id.
pub fn inline(svg: &str, id: &str) -> String {
    let (head, rest) = svg.split_once("<style>").unwrap_or((svg, ""));
    let drawing = rest.split_once("fill=\"#FFFFFF\"/>\n").map_or("", |(_, drawing)| drawing);
    let id = escape_html(id);
    let head = head
        .replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
        .replacen("role=\"img\"", &format!("role=\"img\" aria-labelledby=\"{id}-t {id}-d\""), 1)
        .replacen("<title>", &format!("<title id=\"{id}-t\">"), 1)
        .replacen("<desc>", &format!("<desc id=\"{id}-d\">"), 1);
    format!("{head}{drawing}")
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let b = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let n = u32::from(b[0]) << 16 | u32::from(b[1]) << 8 | u32::from(b[2]);
        for i in 0..4 {
            let letter = LETTERS[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
