//! The constructors a pickle may name.
//!
//! This list is all a checkpoint can make the reader do: build containers, tensors, numbers, texts
//! and opaque settings objects. Any other name is refused.
use super::pickle::{Id, Node, Step, little};

/// Classes whose objects are kept as opaque values with their fields.
const PLAIN_CLASSES: [&str; 6] = [
    "argparse.Namespace",
    "types.SimpleNamespace",
    "yacs.config.CfgNode",
    "easydict.EasyDict",
    "fvcore.common.config.CfgNode",
    "torch.torch_version.TorchVersion",
];

/// The only "calls" there are: constructors of data. Everything else is refused by name.
pub(super) fn reduce(name: &str, args: &[Id], nodes: &[Node]) -> Step<Node> {
    let arg = |i: usize| {
        args.get(i).map(|&id| &nodes[id]).ok_or_else(|| format!("{name}: argument {i} is missing"))
    };
    let name =
        name.strip_prefix("__builtin__.").map_or_else(|| name.to_owned(), |rest| format!("builtins.{rest}"));
    Ok(match name.as_str() {
        "collections.OrderedDict" | "collections.defaultdict" | "collections.Counter" | "builtins.dict" => {
            Node::Dict(args.iter().rev().find_map(|&a| pairs(a, nodes)).unwrap_or_default())
        }
        "builtins.list" | "builtins.set" | "builtins.frozenset" => Node::List(items(args, nodes)),
        "builtins.tuple" | "torch.Size" => Node::Tuple(items(args, nodes)),
        "torch._utils._rebuild_tensor_v2"
        | "torch._utils._rebuild_tensor"
        | "torch._utils._rebuild_tensor_v3" => {
            let Node::Persistent(_) = arg(0)? else { return Err(format!("{name}: expected a storage")) };
            let offset = match arg(1)? {
                Node::Int(v) => usize::try_from(*v).map_err(|_| format!("{name}: negative offset"))?,
                _ => return Err(format!("{name}: expected an offset")),
            };
            Node::Tensor {
                storage: args[0],
                offset,
                size: sizes(arg(2)?, nodes)?,
                stride: sizes(arg(3)?, nodes)?,
            }
        }
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => arg(0)?.clone(),
        "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar" => scalar(arg(0)?, arg(1)?, nodes),
        "numpy.dtype" => Node::Object { class: "numpy.dtype".into(), state: args.first().copied() },
        "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => {
            Node::Object { class: "numpy.ndarray".into(), state: None }
        }
        "_codecs.encode" => match arg(0)? {
            // text holding one byte per character
            Node::Text(text) => Node::Bytes(text.chars().map(|c| c as u32 as u8).collect()),
            other => return Err(format!("{name}: expected text, got {other:?}")),
        },
        "pathlib.PosixPath" | "pathlib.WindowsPath" | "pathlib.PurePosixPath" | "pathlib.Path" => {
            let parts = args.iter().filter_map(|&a| match &nodes[a] {
                Node::Text(text) => Some(text.as_str()),
                _ => None,
            });
            Node::Text(parts.collect::<Vec<_>>().join("/"))
        }
        "torch.device" => arg(0)?.clone(),
        "copyreg._reconstructor" | "copy_reg._reconstructor" => match arg(0)? {
            Node::Global(class) if PLAIN_CLASSES.contains(&class.as_str()) => {
                Node::Object { class: class.clone(), state: None }
            }
            other => return Err(refusal(&format!("{other:?}"))),
        },
        class if PLAIN_CLASSES.contains(&class) => Node::Object { class: class.to_owned(), state: None },
        other => return Err(refusal(other)),
    })
}

fn refusal(name: &str) -> String {
    format!(
        "the pickle asks for a call of {name}, which is not on the list of known constructors; nothing was executed\nhint: save only the weights again from PyTorch: torch.save(model.state_dict(), path)"
    )
}

/// Key-value pairs of a dict or of a list of pairs.
fn pairs(id: Id, nodes: &[Node]) -> Option<Vec<(Id, Id)>> {
    match &nodes[id] {
        Node::Dict(pairs) => Some(pairs.clone()),
        Node::List(list) => list
            .iter()
            .map(|&pair| match &nodes[pair] {
                Node::Tuple(v) | Node::List(v) if v.len() == 2 => Some((v[0], v[1])),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn items(args: &[Id], nodes: &[Node]) -> Vec<Id> {
    match args.first().map(|&a| &nodes[a]) {
        Some(Node::List(v) | Node::Tuple(v)) => v.clone(),
        _ => Vec::new(),
    }
}

fn sizes(node: &Node, nodes: &[Node]) -> Step<Vec<usize>> {
    let (Node::Tuple(ids) | Node::List(ids)) = node else {
        return Err(format!("expected sizes, got {node:?}"));
    };
    ids.iter()
        .map(|&id| match nodes[id] {
            Node::Int(v) => usize::try_from(v).map_err(|_| format!("negative size {v}")),
            ref other => Err(format!("expected a size, got {other:?}")),
        })
        .collect()
}

/// A NumPy scalar: dtype name and little-endian bytes.
fn scalar(dtype: &Node, data: &Node, nodes: &[Node]) -> Node {
    let kind = match dtype {
        Node::Object { class, state: Some(id) } if class == "numpy.dtype" => match &nodes[*id] {
            Node::Text(kind) => Some(kind.as_str()),
            _ => None,
        },
        _ => None,
    };
    let bytes: &[u8] = match data {
        Node::Bytes(b) => b,
        Node::Text(t) => t.as_bytes(),
        _ => &[],
    };
    match (kind, bytes.len()) {
        (Some("f8"), 8) => Node::Float(f64::from_bits(little(bytes))),
        (Some("f4"), 4) => Node::Float(f64::from(f32::from_bits(little(bytes) as u32))),
        (Some("i8"), 8) => Node::Int(little(bytes) as i64),
        (Some("i4"), 4) => Node::Int(i64::from(little(bytes) as u32 as i32)),
        (Some("b1"), 1) => Node::Bool(bytes[0] != 0),
        _ => Node::Object { class: "numpy.scalar".into(), state: None },
    }
}
