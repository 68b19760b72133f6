//! Hostile and odd checkpoints: each must end in an error or in data, never in a panic, an endless
//! loop or an executed call.
use super::*;
use crate::rng::Rng;
use candle_core::{DType, Device};

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints");
    std::fs::read(folder.join(name)).unwrap()
}

fn read_bytes(bytes: &[u8]) -> Result<Checkpoint> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

/// A legacy file around one object pickle and no storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    let mut file = torch::LEGACY_MAGIC.to_vec();
    file.extend_from_slice(b"\x80\x02M\xe9\x03."); // version 1001
    file.extend_from_slice(b"\x80\x02}."); // system info
    file.extend_from_slice(object);
    file.extend_from_slice(b"\x80\x02]."); // storage keys
    file
}

fn reason(object: &[u8]) -> String {
    read_bytes(&legacy(object)).unwrap_err().to_string()
}

#[test]
fn cut_off_files_are_errors() {
    for name in ["encoder_only.pth", "checkpoint-legacy.pth"] {
        let bytes = golden(name);
        let mut rng = Rng::new("cut", 0, &[name]);
        for at in (0..60).map(|_| rng.below(bytes.len())).chain([0, 1, 4, 8, 30, bytes.len() - 1]) {
            assert!(read_bytes(&bytes[..at]).is_err(), "{name} cut to {at} bytes was accepted");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    for name in ["encoder_only.pth", "checkpoint-legacy.pth"] {
        let bytes = golden(name);
        let mut rng = Rng::new("flip", 0, &[name]);
        // the directory and the pickles, where every byte means something
        let areas = [(0, bytes.len().min(16_000)), (bytes.len().saturating_sub(4_000), bytes.len())];
        for round in 0..300 {
            let mut damaged = bytes.clone();
            let (from, to) = areas[round % areas.len()];
            for _ in 0..1 + rng.below(3) {
                damaged[from + rng.below(to - from)] = rng.next_u64() as u8;
            }
            let _either = read_bytes(&damaged);
        }
    }
}

#[test]
fn calls_are_refused_by_name() {
    let message = reason(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.");
    assert!(message.contains("a call of os.system, which is not on the list"), "{message}");
    assert!(message.contains("nothing was executed\nhint: "), "{message}");
    // through STACK_GLOBAL, NEWOBJ and an object factory
    let message = reason(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85\x81.");
    assert!(message.contains("a call of builtins.eval"), "{message}");
    let message = reason(b"\x80\x02ccopyreg\n_reconstructor\ncsubprocess\nPopen\n\x85R.");
    assert!(message.contains("subprocess.Popen"), "{message}");
}

/// Instructions that push the key `w` and a tensor over storage `0` of four floats.
fn tensor_code(offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut code = b"X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    code.extend_from_slice(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
    code.extend_from_slice(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ");
    code.extend_from_slice(offset);
    for part in [size, stride] {
        code.extend_from_slice(part);
        code.push(0x85); // a tuple of one
    }
    code.extend_from_slice(b"\x89}tR");
    code
}

/// A legacy file around one object pickle and the storage of [`tensor_code`].
fn legacy_with_storage(object: &[u8]) -> Vec<u8> {
    let mut file = torch::LEGACY_MAGIC.to_vec();
    file.extend_from_slice(b"\x80\x02M\xe9\x03.\x80\x02}.");
    file.extend_from_slice(object);
    file.extend_from_slice(b"\x80\x02]X\x01\x00\x00\x000a.");
    file.extend_from_slice(&4u64.to_le_bytes());
    file.extend((0..4).flat_map(|i| (i as f32).to_le_bytes()));
    file
}

/// `{"w": tensor, "more": …}` where `more` pushes one value; the dictionary is memo entry 0.
fn with_more(more: &[u8]) -> Vec<u8> {
    let mut object = b"\x80\x02}q\x00".to_vec();
    object.extend(tensor_code(b"K\x01", b"K\x03", b"K\x01"));
    object.extend_from_slice(b"sX\x04\x00\x00\x00more");
    object.extend_from_slice(more);
    object.extend_from_slice(b"s.");
    legacy_with_storage(&object)
}

#[test]
fn values_that_refer_to_themselves_end() {
    let fine = read_bytes(&with_more(b"K\x07")).unwrap();
    assert_eq!(fine.tensors["w"].to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(fine.metadata["more"], "7");
    let message = read_bytes(&with_more(b"h\x00")).unwrap_err().to_string();
    assert!(message.contains("refers to itself"), "{message}");
    // lists of which each holds the one before twice: 2^30 values if unfolded
    let mut lists = b"]q\x01".to_vec();
    for _ in 0..30 {
        lists.extend_from_slice(b"0](h\x01h\x01eq\x01");
    }
    let message = read_bytes(&with_more(&lists)).unwrap_err().to_string();
    assert!(message.contains("nested too deeply"), "{message}");
}

#[test]
fn broken_stack_programs_are_errors() {
    for object in [
        &b"\x80\x02."[..],
        b"\x80\x020.",
        b"\x80\x02t.",
        b"\x80\x02h\x05.",
        b"\x80\x02}K\x01a.",
        b"\x80\x02K\x01K\x02s.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x02(R.",
        b"\x80\x02\xfe.",
        b"\x80\x02K\x01.",
    ] {
        assert!(read_bytes(&legacy(object)).is_err(), "{object:?}");
    }
}

#[test]
fn views_outside_their_storage_are_errors() {
    let cases: [(&[u8], &[u8], &[u8]); 3] = [
        (b"K\x02", b"K\x7f", b"K\x01"),
        (b"K\x00", b"K\x02", b"J\xff\xff\xff\x7f"),
        (b"K\x00", b"J\xff\xff\xff\x7f", b"K\x00"),
    ];
    for (offset, size, stride) in cases {
        let object = [b"\x80\x02}", &tensor_code(offset, size, stride)[..], b"s."].concat();
        let message = read_bytes(&legacy_with_storage(&object)).unwrap_err().to_string();
        assert!(message.contains("tensor w: shape") && message.contains("exceeds storage 0"), "{message}");
    }
}

#[test]
fn safetensors_come_back_equal_and_appear_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let f32s = Tensor::new(&[[1.0f32, -2.5], [3.0, f32::MIN_POSITIVE]], &Device::Cpu).unwrap();
    let tensors = BTreeMap::from([
        ("a.weight".to_owned(), f32s.t().unwrap()), // not contiguous
        ("b".to_owned(), Tensor::new(&[1u32, 7], &Device::Cpu).unwrap()),
        ("c".to_owned(), f32s.to_dtype(DType::BF16).unwrap()),
        ("step".to_owned(), Tensor::new(3.0f64, &Device::Cpu).unwrap()),
    ]);
    let metadata = (0..9).map(|i| (format!("key {i}"), format!("\"value\" {i}"))).collect();
    write_safetensors(&path, &tensors, &metadata).unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["model.safetensors"], "no temporary file is left");
    let back = read(&path).unwrap();
    assert_eq!(back.container, Container::Safetensors);
    assert_eq!(back.metadata, metadata);
    for (name, tensor) in &tensors {
        let (got, want) = (&back.tensors[name], tensor);
        assert_eq!((got.dims(), got.dtype()), (want.dims(), want.dtype()), "{name}");
        let flat =
            |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(flat(got), flat(want), "{name}");
    }
    let written = std::fs::read(&path).unwrap();
    write_safetensors(&path, &tensors, &metadata).unwrap();
    assert_eq!(written, std::fs::read(&path).unwrap(), "equal content gives equal bytes");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    std::fs::create_dir(&path).unwrap(); // a folder cannot be replaced by a file
    let tensors = BTreeMap::from([("a".to_owned(), Tensor::new(1.0f32, &Device::Cpu).unwrap())]);
    assert!(write_safetensors(&path, &tensors, &BTreeMap::new()).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A stored zip archive with one member.
fn zip_of(name: &str, data: &[u8]) -> Vec<u8> {
    let word = |v: usize, n: usize| v.to_le_bytes()[..n].to_vec();
    let sizes =
        [word(0, 4), word(data.len(), 4), word(data.len(), 4), word(name.len(), 2), word(0, 2)].concat();
    let mut out = [b"PK\x03\x04".to_vec(), word(20, 2), word(0, 8), sizes.clone()].concat();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(data);
    let directory = out.len();
    out.extend([b"PK\x01\x02".to_vec(), word(20, 2), word(20, 2), word(0, 8), sizes].concat());
    out.extend([word(0, 2), word(0, 2), word(0, 2), word(0, 4), word(0, 4)].concat());
    out.extend_from_slice(name.as_bytes());
    let size = out.len() - directory;
    out.extend([b"PK\x05\x06".to_vec(), word(0, 4), word(1, 2), word(1, 2)].concat());
    out.extend([word(size, 4), word(directory, 4), word(0, 2)].concat());
    out
}

fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend_from_slice(&u16::try_from(header.len()).unwrap().to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out
}

#[test]
fn numpy_archives() {
    let data: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let of = |array: Vec<u8>| read_bytes(&zip_of("head.weight.npy", &array));
    let plain = of(npy("'<f4'", "False", "(2, 3)", &data)).unwrap();
    assert_eq!(plain.container, Container::Npz);
    assert_eq!(plain.tensors["head.weight"].to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let fortran = of(npy("'<f4'", "True", "(2, 3)", &data)).unwrap();
    assert_eq!(fortran.tensors["head.weight"].to_vec2::<f32>().unwrap(), [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]);
    for (bad, why) in [
        (npy("'|O'", "False", "(2, 3)", &data), "dtype |O is not supported"),
        (npy("'<f4'", "False", "(2, 4)", &data), "cut off"),
        (npy("'<f4'", "False", "(9999999999, 9999999999)", &data), "cut off"),
        (b"no array".to_vec(), "not a .npy array"),
    ] {
        let message = of(bad).unwrap_err().to_string();
        assert!(message.contains("array head.weight: ") && message.contains(why), "{message}");
    }
}

#[test]
fn other_files_are_named_as_such() {
    let message = read_bytes(b"GIF89a and so on").unwrap_err().to_string();
    assert!(message.contains("not a checkpoint of a known kind\nhint: "), "{message}");
    let message = read_bytes(&zip_of("readme.txt", b"hello")).unwrap_err().to_string();
    assert!(message.contains("neither PyTorch nor NumPy"), "{message}");
    assert!(matches!(read(Path::new("/nonexistent")), Err(Error::Io { .. })));
}

/// Tensors of every dtype and odd shapes.
fn assortment() -> BTreeMap<String, Tensor> {
    let make = |n: usize, dims: &[usize], dtype| {
        let values: Vec<f32> = (0..n).map(|i| (i as f32 - 2.0) * 1.25).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    let mut out = BTreeMap::new();
    out.insert("blocks.0.weight".to_owned(), make(6, &[2, 3], DType::F32).t().unwrap()); // not contiguous
    out.insert("half".to_owned(), make(5, &[5], DType::F16));
    out.insert("brain".to_owned(), make(4, &[1, 2, 2], DType::BF16));
    out.insert("double".to_owned(), make(3, &[3], DType::F64));
    out.insert("steps".to_owned(), make(300, &[300], DType::I64));
    out.insert("scalar".to_owned(), make(1, &[], DType::F32));
    out.insert("empty".to_owned(), make(0, &[0, 4], DType::F32));
    out.insert("bytes".to_owned(), Tensor::from_vec(vec![0u8, 255], 2, &Device::Cpu).unwrap());
    out
}

fn flat_bits(t: &Tensor) -> Vec<u64> {
    let v: Vec<f64> = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    v.into_iter().map(f64::to_bits).collect()
}

#[test]
fn torch_files_come_back_equal_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = assortment();
    let order = vec!["steps".to_owned(), "half".to_owned(), "absent".to_owned()];
    for root in [None, Some("model")] {
        let path = folder.path().join("w.pth");
        write_torch(&path, &tensors, &order, root).unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.container, found.root.as_str()), (Container::TorchZip, root.unwrap_or("")));
        assert_eq!(found.order[..2], order[..2]);
        assert_eq!(found.tensors.len(), tensors.len());
        for (name, want) in &tensors {
            let got = &found.tensors[name];
            assert_eq!((got.dims(), got.dtype()), (want.dims(), want.dtype()), "{name}");
            assert_eq!(flat_bits(got), flat_bits(want), "{name}");
        }
        let first = std::fs::read(&path).unwrap();
        write_torch(&path, &tensors, &order, root).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first, "equal content, equal bytes");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let odd = BTreeMap::from([("u".to_owned(), Tensor::zeros(2, DType::U32, &Device::Cpu).unwrap())]);
    let error = write_torch(&folder.path().join("u.pth"), &odd, &[], None).unwrap_err().to_string();
    assert!(error.contains("u: dtype U32"), "{error}");
}

/// The whole file, byte by byte, of one small tensor: what `torch.load` was seen to accept.
#[test]
fn a_torch_file_has_the_bytes_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    let w = Tensor::from_vec(vec![1f32, -2.0], (1, 2), &Device::Cpu).unwrap();
    write_torch(&path, &BTreeMap::from([("w".to_owned(), w)]), &[], None).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let pickle: &[u8] = b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tQK\0(K\x01K\x02t(K\x02K\x01t\x89ccollections\nOrderedDict\n)RtRu.";
    assert_eq!(&bytes[64..64 + pickle.len()], pickle);
    let archive = zip::Archive::open(&bytes).unwrap();
    let names: Vec<&str> = archive.members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/version"]);
    let data = [1f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
    let at = bytes.windows(8).position(|w| w == data).unwrap();
    assert_eq!(at % 64, 0, "storages are aligned");
}

/// With PyTorch at hand: it reads what we wrote, restricted to weights, and finds the same numbers.
#[test]
fn pytorch_reads_what_we_write() {
    let python = std::env::var("FACEBENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_torch = std::process::Command::new(&python).args(["-c", "import torch"]).output();
    if !has_torch.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: `{python}` has no torch; set FACEBENCH_PYTHON to one that has");
        return;
    }
    const SCRIPT: &str = "
import sys, json, torch
d = torch.load(sys.argv[1], weights_only=True)
d = d['model'] if 'model' in d else d
print(json.dumps({k: [str(t.dtype), list(t.shape), t.double().flatten().tolist()] for k, t in d.items()}))";
    let folder = tempfile::tempdir().unwrap();
    let tensors = assortment();
    for root in [None, Some("model")] {
        let path = folder.path().join("w.pth");
        write_torch(&path, &tensors, &[], root).unwrap();
        let out = std::process::Command::new(&python).args(["-c", SCRIPT]).arg(&path).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(said.as_object().unwrap().len(), tensors.len());
        for (name, want) in &tensors {
            let (dims, values): (Vec<usize>, Vec<f64>) = (
                serde_json::from_value(said[name][1].clone()).unwrap(),
                serde_json::from_value(said[name][2].clone()).unwrap(),
            );
            assert_eq!(dims, want.dims(), "{name}");
            assert_eq!(values.into_iter().map(f64::to_bits).collect::<Vec<_>>(), flat_bits(want), "{name}");
            let kind = match want.dtype() {
                DType::F32 => "float32",
                DType::F64 => "float64",
                DType::F16 => "float16",
                DType::BF16 => "bfloat16",
                DType::I64 => "int64",
                _ => "uint8",
            };
            assert_eq!(said[name][0], format!("torch.{kind}"), "{name}");
        }
    }
}

/// Every sixty-fourth of a file missing, each bit of its structure flipped in turn: an error or data, never a panic.
#[test]
fn truncation_and_flipped_bits_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let (pth, safe) = (folder.path().join("w.pth"), folder.path().join("w.safetensors"));
    write_torch(&pth, &assortment(), &[], Some("model")).unwrap();
    write_safetensors(&safe, &assortment(), &BTreeMap::new()).unwrap();
    let array = zip_of("w.npy", &npy("<f4", "False", "(2, 3)", &[1; 24]));
    let files = [std::fs::read(&pth).unwrap(), std::fs::read(&safe).unwrap(), array];
    for bytes in &files {
        for part in 0..64 {
            assert!(
                read_bytes(&bytes[..bytes.len() * part / 64]).is_err(),
                "{part}/64 of a file was accepted"
            );
        }
        let step = (bytes.len() / 400).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            drop(read_bytes(&damaged)); // an error, or other data
        }
    }
}

/// Sizes that a few bytes merely claim are never allocated.
#[test]
fn claimed_sizes_are_checked_before_memory_is_taken() {
    let mut bomb = zip_of("w.npy", &npy("<f4", "False", "(1000000, 1000000)", &[0; 16]));
    assert!(read_bytes(&bomb).is_err());
    // a stored member that says it has 4 GiB
    let directory = bomb.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bomb[directory + 20..directory + 28].copy_from_slice(&[0xF0, 0xFF, 0xFF, 0xFF, 0xF0, 0xFF, 0xFF, 0xFF]);
    assert!(read_bytes(&bomb).unwrap_err().to_string().contains("outside the file"));
    // a deflated member that says it grows 100,000 times
    bomb[directory + 10] = 8;
    bomb[directory + 20..directory + 24].copy_from_slice(&40u32.to_le_bytes());
    assert!(read_bytes(&bomb).is_err());
    let mut header =
        br#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#.to_vec();
    header.resize(header.len().next_multiple_of(8), b' ');
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &[0; 16]].concat();
    assert!(read_bytes(&file).is_err());
    let file = [&u64::MAX.to_le_bytes()[..], b"{", &[0; 64]].concat();
    assert!(read_bytes(&file).is_err());
}

/// Member names are names, never paths that are opened or written.
#[test]
fn paths_in_an_archive_go_nowhere() {
    for name in ["../../escape.npy", "/etc/passwd.npy", "a\\..\\b.npy", "\u{0}.npy"] {
        let found = read_bytes(&zip_of(name, &npy("<f4", "False", "(1,)", &[0; 4])));
        if let Ok(found) = found {
            assert_eq!(found.tensors.keys().collect::<Vec<_>>(), [name.strip_suffix(".npy").unwrap()]);
        }
    }
    assert!(!Path::new("../../escape.npy").exists());
}
