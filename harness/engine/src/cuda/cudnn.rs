//! `libfacebench_cudnn.so`: attention by cuDNN, where that library and cuDNN itself are there.
//!
//! The library (`engine/cudnn/sdpa.cpp`, interface in `sdpa.h`) is looked for beside the program, or where
//! `FACEBENCH_CUDNN` names it; `FACEBENCH_CUDNN=off` leaves it alone. It is opened once for each device. Where it is not
//! there nothing is said and attention is a composition; where it is there and cannot be used, one line on stderr says
//! why. Plans belong to a problem (sizes and pass), are made when first asked for and kept. A problem that cuDNN refuses
//! is one for the composition, with a line as well; a plan that fails when run is an error.
use super::launch::{self, Fresh, empty};
use crate::error::{Error, Result};
use candle_core::{DType, Device, DeviceLocation, Tensor};
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, OsString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `FB_SDPA_ABI` of `sdpa.h`.
const ABI: i32 = 1;

/// The library's name beside the program.
const FILE: &str = "libfacebench_cudnn.so";

/// Which pass a plan is for, as in `sdpa.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub(super) enum Pass {
    /// The result alone.
    Forward = 0,
    /// The result, and the log-sum-exp of each row for the backward pass.
    ForwardStats = 1,
    /// The three gradients.
    Backward = 2,
}

/// Sizes of self-attention on a packed projection `(B, N, 3, H, d)`, and the pass: what a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Problem {
    pub(super) batch: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
    pub(super) pass: Pass,
}

/// Where a tensor of a run begins: the places of `sdpa.h`, a null for each that the pass does not use.
pub(super) type Addresses = [u64; 9];

/// `FbSdpaShape` of `sdpa.h`.
#[repr(C)]
struct Shape {
    sizes: [i64; 5],
    strides: [[i64; 3]; 8],
    scale: f32,
    pass: i32,
}

impl Shape {
    fn new(p: &Problem) -> Self {
        let [batch, tokens, heads, width] = [p.batch, p.tokens, p.heads, p.width].map(|v| v as i64);
        // of batch, head and token, in a row of all heads `parts` times over
        let strides = |parts: i64| [tokens * parts * heads * width, width, parts * heads * width];
        let (packed, plain) = (strides(3), strides(1));
        Self {
            sizes: [batch, heads, tokens, tokens, width],
            strides: [packed, packed, packed, plain, plain, packed, packed, packed], // q k v o do dq dk dv
            scale: (1.0 / (p.width as f64).sqrt()) as f32,
            pass: p.pass as i32,
        }
    }
}

type Open = unsafe extern "C" fn(*mut *mut c_void, *mut i64) -> i32;
type MakePlan = unsafe extern "C" fn(*mut c_void, *const Shape, *mut *mut c_void, *mut i64) -> i32;
type Run =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, *const *mut c_void, *mut c_void) -> i32;

/// The functions of `sdpa.h`.
#[derive(Clone, Copy)]
pub(super) struct Library {
    error: unsafe extern "C" fn() -> *const c_char,
    open: Open,
    plan: MakePlan,
    run: Run,
}

impl Library {
    /// Opens the file and checks its version.
    pub(super) fn load(file: &Path) -> std::result::Result<Self, String> {
        let name = CString::new(file.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: loading runs the file's initialisers; whoever put it there vouches for it, as for the program.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure the text is there until the next call of its kind on this thread.
            return Err(unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned());
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is open and never closed.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if found.is_null() { Err(format!("it has no {}", name.to_string_lossy())) } else { Ok(found) }
        };
        // SAFETY: this function has had this type in every version of the interface.
        let abi = unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> i32>(symbol(c"fb_sdpa_abi")?)()
        };
        if abi != ABI {
            return Err(format!(
                "it has version {abi} of the interface, this program {ABI}\nhint: build it again with `cargo xtask cuda --cudnn`"
            ));
        }
        // SAFETY: in a library of this version the symbols have these types.
        unsafe {
            Ok(Self {
                error: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(symbol(
                    c"fb_sdpa_error",
                )?),
                open: std::mem::transmute::<*mut c_void, Open>(symbol(c"fb_sdpa_open")?),
                plan: std::mem::transmute::<*mut c_void, MakePlan>(symbol(c"fb_sdpa_plan")?),
                run: std::mem::transmute::<*mut c_void, Run>(symbol(c"fb_sdpa_run")?),
            })
        }
    }

    /// The text of the call that has just failed on this thread, in one line: cuDNN lists all it has tried.
    fn failure(&self) -> String {
        // SAFETY: the text is the library's until its next call on this thread.
        let text = unsafe { CStr::from_ptr((self.error)()) }.to_string_lossy();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(300).collect()
    }
}

/// Something of the library's.
#[derive(Clone, Copy)]
struct Opaque(*mut c_void);

// SAFETY: the interface lets any thread call with it, one at a time; it is only used under `Cudnn::state`.
unsafe impl Send for Opaque {}

#[derive(Clone, Copy)]
struct Plan {
    plan: Opaque,
    workspace: usize,
}

struct State {
    handle: Opaque,
    plans: HashMap<Problem, Option<Plan>>,
}

/// cuDNN on one device.
pub(super) struct Cudnn {
    library: Library,
    /// Keeps the device's context, in which the handle lives.
    device: Device,
    state: Mutex<State>,
    refused: AtomicBool,
    /// What [`super::attention_kind`] says, before and after a refusal.
    names: [String; 2],
}

impl Cudnn {
    pub(super) fn open(library: Library, device: &Device) -> std::result::Result<Self, String> {
        launch::stream(device).map_err(|e| e.to_string())?; // makes the device's context current
        let (mut handle, mut version) = (std::ptr::null_mut(), 0i64);
        // SAFETY: both places are ours and live for the call.
        if unsafe { (library.open)(&raw mut handle, &raw mut version) } != 0 {
            return Err(library.failure());
        }
        let name = format!("cudnn {}.{}.{}", version / 10_000, version / 100 % 100, version % 100);
        Ok(Self {
            library,
            device: device.clone(),
            state: Mutex::new(State { handle: Opaque(handle), plans: HashMap::new() }),
            refused: AtomicBool::new(false),
            names: [name.clone(), format!("{name}, composition for shapes it refuses")],
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.names[usize::from(self.refused.load(Ordering::Relaxed))]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a plan for this problem; makes it the first time.
    pub(super) fn can(&self, problem: &Problem) -> Result<bool> {
        let mut state = self.state();
        if let Some(known) = state.plans.get(problem) {
            return Ok(known.is_some());
        }
        launch::stream(&self.device)?;
        let (mut plan, mut workspace) = (std::ptr::null_mut(), 0i64);
        let shape = Shape::new(problem);
        // SAFETY: the handle is open, and the places are ours and live for the call.
        let code = unsafe {
            (self.library.plan)(state.handle.0, &raw const shape, &raw mut plan, &raw mut workspace)
        };
        let made = if let (0, Ok(workspace)) = (code, usize::try_from(workspace)) {
            Some(Plan { plan: Opaque(plan), workspace })
        } else {
            self.refused.store(true, Ordering::Relaxed);
            let Problem { tokens, heads, width, .. } = problem;
            say(&format!(
                "attention of {tokens} tokens in {heads} heads of width {width} is not cuDNN's: {}",
                self.library.failure()
            ));
            None
        };
        state.plans.insert(*problem, made);
        Ok(made.is_some())
    }

    /// Puts one run on the device's stream. [`Cudnn::can`] has said that there is a plan.
    ///
    /// # Safety
    /// The addresses are those of tensors of this problem, on this device, and those that are written are not shared.
    pub(super) unsafe fn run(&self, problem: &Problem, like: &Tensor, addresses: &Addresses) -> Result<()> {
        let state = self.state();
        let Some(Plan { plan, workspace }) = state.plans.get(problem).copied().flatten() else {
            return Err(Error::argument("cudnn", "a plan", format!("none for {problem:?}")));
        };
        let stream = launch::stream(like.device())?;
        // freed in the order of the stream, so after the run
        let memory = match workspace {
            0 => None,
            bytes => Some(empty(like, bytes.div_ceil(4), DType::U32)?),
        };
        let memory_at = memory.as_ref().map_or(Ok(0), launch::at)?;
        let tensors = addresses.map(|a| a as *mut c_void);
        // SAFETY: handle and plan are the library's and used under the lock; the addresses are promised by the caller.
        let code = unsafe {
            (self.library.run)(
                state.handle.0,
                plan.0,
                stream as *mut c_void,
                tensors.as_ptr(),
                memory_at as *mut c_void,
            )
        };
        if code != 0 {
            return Err(Error::argument("cudnn", format!("{problem:?} to run"), self.library.failure()));
        }
        Ok(())
    }

    /// The problems with a plan, and those without.
    #[cfg(test)]
    pub(super) fn problems(&self) -> Vec<(Problem, bool)> {
        self.state().plans.iter().map(|(problem, plan)| (*problem, plan.is_some())).collect()
    }
}

/// Address of a result that has no tensor yet.
pub(super) fn fresh(out: &Fresh) -> Result<u64> {
    launch::address(&out.storage, 0)
}

/// cuDNN on this device, if it can be used there. Opened the first time.
pub(super) fn on(device: &Device) -> Option<&'static Cudnn> {
    #[cfg(test)]
    if super::tests::emulated() {
        return super::fused_tests::stand_in();
    }
    static OPENED: Mutex<Vec<(usize, Option<&'static Cudnn>)>> = Mutex::new(Vec::new());
    let DeviceLocation::Cuda { gpu_id } = device.location() else { return None };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = opened.iter().find(|(gpu, _)| *gpu == gpu_id) {
        return *known;
    }
    let file = place(std::env::var_os("FACEBENCH_CUDNN"), std::env::current_exe().ok());
    let cudnn = file.and_then(|file| {
        Library::load(&file)
            .and_then(|library| Cudnn::open(library, device))
            .map_err(|why| say(&format!("attention is not cuDNN's ({}): {why}", file.display())))
            .ok()
    });
    // lives as long as the process: plans and handle are never given back
    let cudnn: Option<&'static Cudnn> = cudnn.map(|c| &*Box::leak(Box::new(c)));
    opened.push((gpu_id, cudnn));
    cudnn
}

/// Where the library is: what the variable names, else beside the program if it is there.
pub(super) fn place(variable: Option<OsString>, program: Option<PathBuf>) -> Option<PathBuf> {
    match variable {
        Some(off) if off == "off" => None,
        Some(file) if !file.is_empty() => Some(file.into()),
        _ => Some(program?.parent()?.join(FILE)).filter(|file| file.is_file()),
    }
}

/// One line on stderr, once however often there is reason for it.
fn say(text: &str) {
    static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(text.to_owned()) {
        eprintln!("{text}");
    }
}
