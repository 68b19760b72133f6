//! JPEG, byte for byte as libjpeg-turbo (and so Pillow) decodes it.
//!
//! Entropy decoding is libjpeg-turbo's own C code (`mozjpeg-sys`, built by a C compiler alone), and so is the accurate
//! integer inverse DCT unless [`idct`](super::idct) can take its place; what follows is done here where the picture has one
//! of the usual three samplings, since without an assembler that C code is not vectorised: "fancy" chroma upsampling (weights 3/4 and 1/4, the rounding
//! alternating between columns) and YCbCr → RGB in 16-bit fixed point, both exactly as in `jdsample.c` and `jdcolor.c`
//! (their arithmetic is part of the format's de facto definition). Everything else (grey, CMYK, RGB, rare samplings) goes
//! through libjpeg to the end. CMYK is read as Pillow does: values inverted (Adobe's convention), then
//! `255 - k - c·(255 - k)`.
//!
//! libjpeg fills what is damaged or missing with grey and warns. Here such a warning is an error: one wrong frame
//! moves a video's score. EXIF orientation is not applied, as Pillow does not unless asked; colour profiles are ignored.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mozjpeg_sys as sys;

use super::{MAX_PIXELS, MAX_SIDE};

/// Warnings of libjpeg (`jerror.h`) that leave the picture as it was meant: unknown Adobe transform code, unknown
/// JFIF revision, bytes between segments. Their texts, since the numbers differ between builds.
const HARMLESS: [&str; 3] =
    ["Unknown Adobe color transform", "unknown JFIF revision", "extraneous bytes before marker"];

/// Most scans of a progressive file: usual are 3 to 12, and each costs a pass over the picture.
const MAX_SCANS: i32 = 200;

/// What a failed decode unwinds with, through C code that is compiled for it.
struct Failure(String);

/// Decodes to (width, height, RGB bytes).
///
/// # Errors
/// What is wrong with the file, without its name.
pub(super) fn decode(bytes: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    decode_with(bytes, true)
}

/// As [`decode`]; without `vector` the inverse DCT is libjpeg's own.
pub(super) fn decode_with(bytes: &[u8], vector: bool) -> Result<(usize, usize, Vec<u8>), String> {
    let work = AssertUnwindSafe(|| Decoder::new(bytes, vector).run());
    catch_unwind(work).unwrap_or_else(|payload| match payload.downcast::<Failure>() {
        Ok(failure) => Err(failure.0),
        Err(other) => resume_unwind(other),
    })
}

/// Ends decoding with libjpeg's message.
unsafe extern "C-unwind" fn fail(info: &mut sys::jpeg_common_struct) {
    // resume_unwind: no panic hook, nothing printed
    resume_unwind(Box::new(Failure(message(info))));
}

/// Called for warnings (level -1) and traces: a warning that means damage ends decoding.
unsafe extern "C-unwind" fn warn(info: &mut sys::jpeg_common_struct, level: libc::c_int) {
    if level < 0 {
        let text = message(info);
        if !HARMLESS.iter().any(|h| text.contains(h)) {
            resume_unwind(Box::new(Failure(text)));
        }
    }
}

/// libjpeg's text for its current message.
fn message(info: &mut sys::jpeg_common_struct) -> String {
    type Format = unsafe extern "C-unwind" fn(&mut sys::jpeg_common_struct, *mut u8);
    let mut buffer = [0u8; 256]; // JMSG_LENGTH_MAX is 200
    // SAFETY: `err` was set by `Decoder::new` and lives as long as the decoder. The binding declares the buffer as
    // a shared reference to 80 bytes where C has `char *`; the pointer type says what C does with it.
    unsafe {
        if let Some(format) = (*info.err).format_message {
            let format: Format = std::mem::transmute(format);
            format(info, buffer.as_mut_ptr());
        }
    }
    let end = buffer.iter().position(|&b| b == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

/// libjpeg's state. Boxed: the C side keeps pointers to both parts.
struct Decoder {
    info: Box<sys::jpeg_decompress_struct>,
    vector: bool,
    _error: Box<sys::jpeg_error_mgr>,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: created by `jpeg_create_decompress` in `new`; destroying is allowed in every state.
        unsafe { sys::jpeg_destroy_decompress(&mut self.info) }
    }
}

impl Decoder {
    fn new(bytes: &[u8], vector: bool) -> Self {
        // SAFETY: both structures are plain C data for which zero is valid; they are boxed, so their addresses stay;
        // `bytes` outlives the decoder, which is dropped in `decode` at the latest.
        unsafe {
            let mut error: Box<sys::jpeg_error_mgr> = Box::new(std::mem::zeroed());
            sys::jpeg_std_error(&mut error);
            error.error_exit = Some(fail);
            error.emit_message = Some(warn);
            let mut info: Box<sys::jpeg_decompress_struct> = Box::new(std::mem::zeroed());
            info.common.err = &raw mut *error;
            sys::jpeg_create_decompress(&mut *info);
            sys::jpeg_mem_src(&mut info, bytes.as_ptr(), bytes.len() as _);
            Self { info, vector, _error: error }
        }
    }

    fn run(mut self) -> Result<(usize, usize, Vec<u8>), String> {
        // SAFETY: calls in the order libjpeg asks for; errors unwind.
        unsafe { sys::jpeg_read_header(&mut self.info, 1) };
        let (width, height) = (self.info.image_width as usize, self.info.image_height as usize);
        if width == 0 || height == 0 {
            return Err(format!("the image has no pixels ({width}x{height})"));
        }
        if width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS {
            return Err(format!(
                "the image is {width}x{height}, the limits are {MAX_SIDE} a side and {MAX_PIXELS} pixels"
            ));
        }
        let pixels = match self.chroma() {
            Some((h, v)) => self.planes(width, height, h, v),
            None => self.scanlines(width, height)?,
        };
        if self.info.input_scan_number > MAX_SCANS {
            return Err(format!("more than {MAX_SCANS} scans"));
        }
        // SAFETY: all lines were read. Reads on to the end-of-image marker, whose absence is a warning.
        unsafe { sys::jpeg_finish_decompress(&mut self.info) };
        Ok((width, height, pixels))
    }

    /// Starts decompression, after everything was set.
    fn start(&mut self) {
        // SAFETY: the header was read; then decompression has started.
        unsafe {
            sys::jpeg_start_decompress(&mut self.info);
            if self.vector {
                super::idct::install(&mut self.info);
            }
        }
    }

    /// Horizontal and vertical factors of the chroma planes, where upsampling is done here.
    fn chroma(&self) -> Option<(usize, usize)> {
        if self.info.num_components != 3 || self.info.jpeg_color_space != sys::J_COLOR_SPACE::JCS_YCbCr {
            return None;
        }
        // SAFETY: after the header, `comp_info` points to `num_components` entries.
        let parts = unsafe { std::slice::from_raw_parts(self.info.comp_info, 3) };
        let of = |i: usize| (parts[i].h_samp_factor, parts[i].v_samp_factor);
        if self.info.image_width <= 4 {
            return None; // libjpeg repeats pixels where a chroma row has one or two samples
        }
        match (of(0), of(1), of(2)) {
            ((1, 1), (1, 1), (1, 1)) => Some((1, 1)),
            ((2, 1), (1, 1), (1, 1)) => Some((2, 1)),
            ((2, 2), (1, 1), (1, 1)) => Some((2, 2)),
            _ => None,
        }
    }

    /// Reads the planes after the inverse DCT, then upsamples and converts.
    fn planes(&mut self, width: usize, height: usize, h: usize, v: usize) -> Vec<u8> {
        self.info.raw_data_out = 1;
        self.start();
        // whole blocks: libjpeg writes width_in_blocks * 8 samples a row and 8 * v rows a call
        // SAFETY: as in `chroma`.
        let parts = unsafe { std::slice::from_raw_parts(self.info.comp_info, 3) };
        let rows = height.div_ceil(8 * v) * 8; // of the chroma planes
        let mut planes: [Plane; 3] = std::array::from_fn(|i| {
            let stride = parts[i].width_in_blocks as usize * 8;
            let rows = if i == 0 { rows * v } else { rows };
            Plane { stride, data: vec![0; stride * rows] }
        });
        while self.info.output_scanline < self.info.output_height {
            let first = self.info.output_scanline as usize / (8 * v) * 8;
            let mut lines: [[*mut u8; 16]; 3] = [[ptr::null_mut(); 16]; 3];
            for (i, plane) in planes.iter_mut().enumerate() {
                let (count, first) = if i == 0 { (8 * v, first * v) } else { (8, first) };
                let part = &mut plane.data[first * plane.stride..(first + count) * plane.stride];
                for (line, row) in lines[i].iter_mut().zip(part.chunks_exact_mut(plane.stride)) {
                    *line = row.as_mut_ptr();
                }
            }
            let mut image = lines.each_mut().map(|l| l.as_mut_ptr());
            // SAFETY: `image` has 3 arrays of 8·v (luma) and 8 (chroma) rows, each of `stride` bytes.
            unsafe { sys::jpeg_read_raw_data(&mut self.info, image.as_mut_ptr(), 8 * v as u32) };
        }
        let mut out = vec![0; width * height * 3];
        super::colour::to_rgb(&planes, width, height, h, v, &mut out);
        out
    }

    /// Lets libjpeg do everything.
    fn scanlines(&mut self, width: usize, height: usize) -> Result<Vec<u8>, String> {
        use sys::J_COLOR_SPACE::{JCS_CMYK, JCS_GRAYSCALE, JCS_RGB, JCS_YCCK};
        let (space, channels) = match (self.info.num_components, self.info.jpeg_color_space) {
            (1, _) => (JCS_GRAYSCALE, 1),
            (3, _) => (JCS_RGB, 3),
            (4, JCS_CMYK | JCS_YCCK) => (JCS_CMYK, 4),
            (n, _) => return Err(format!("{n} components are not supported")),
        };
        self.info.out_color_space = space;
        self.start();
        let stride = width * channels;
        let mut raw = vec![0u8; stride * height];
        while self.info.output_scanline < self.info.output_height {
            let at = self.info.output_scanline as usize * stride;
            let mut line = raw[at..at + stride].as_mut_ptr();
            // SAFETY: one line of `output_width * output_components` bytes, which is `stride`.
            unsafe { sys::jpeg_read_scanlines(&mut self.info, &raw mut line, 1) };
        }
        Ok(match channels {
            1 => raw.iter().flat_map(|&v| [v; 3]).collect(),
            3 => raw,
            _ => raw.chunks_exact(4).flat_map(|p| cmyk_to_rgb([p[0], p[1], p[2], p[3]])).collect(),
        })
    }
}

/// One component: rows of `stride` bytes.
pub(super) struct Plane {
    pub(super) stride: usize,
    pub(super) data: Vec<u8>,
}

/// Inverted CMYK to RGB with Pillow's rounding (`255·x/255` as `(t + (t >> 8)) >> 8`, t = product + 128).
fn cmyk_to_rgb(p: [u8; 4]) -> [u8; 3] {
    let [c, m, y, k] = p.map(|v| i32::from(255 - v));
    let rest = 255 - k;
    [c, m, y].map(|v| {
        let t = v * rest + 128;
        (rest - ((t + (t >> 8)) >> 8)).clamp(0, 255) as u8
    })
}
