//! The globals a pickle may name, and what calling them builds: plain values, nothing else.

use super::pickle::{Machine, Node, Value};
use crate::Dtype;
use crate::cursor::Phrased;

/// Something a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// The type of a storage; none for untyped bytes.
    Storage(Option<Dtype>),
    /// An element type, for tensors in untyped storages.
    Dtype(Dtype),
    /// A dictionary.
    OrderedDict,
    /// `(storage, offset, size, stride)`, before tensors had flags.
    RebuildTensor,
    /// `(storage, offset, size, stride, requires_grad, hooks[, metadata])`.
    RebuildTensorV2,
    /// `(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])`.
    RebuildTensorV3,
    /// `(tensor, requires_grad, hooks[, state])`.
    RebuildParameter,
    /// `(function, type, arguments, state)`.
    RebuildFromType,
    /// A type that a tensor may say it has.
    TensorType,
    /// A tuple of dimensions.
    Size,
    /// `(name[, index])`: where a tensor was.
    Device,
}

const fn storage(dtype: Dtype) -> Global {
    Global::Storage(Some(dtype))
}

/// Everything that may be named. None of it can do anything but hold values.
const ALLOWED: &[(&str, &str, Global)] = &[
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensorV2),
    ("torch._utils", "_rebuild_tensor_v3", Global::RebuildTensorV3),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch._utils", "_rebuild_parameter_with_state", Global::RebuildParameter),
    ("torch._tensor", "_rebuild_from_type_v2", Global::RebuildFromType),
    ("torch", "Tensor", Global::TensorType),
    ("torch.nn.parameter", "Parameter", Global::TensorType),
    ("torch", "Size", Global::Size),
    ("torch", "device", Global::Device),
    ("torch", "DoubleStorage", storage(Dtype::F64)),
    ("torch", "FloatStorage", storage(Dtype::F32)),
    ("torch", "HalfStorage", storage(Dtype::F16)),
    ("torch", "BFloat16Storage", storage(Dtype::Bf16)),
    ("torch", "ComplexFloatStorage", storage(Dtype::C64)),
    ("torch", "LongStorage", storage(Dtype::I64)),
    ("torch", "IntStorage", storage(Dtype::I32)),
    ("torch", "ShortStorage", storage(Dtype::I16)),
    ("torch", "CharStorage", storage(Dtype::I8)),
    ("torch", "ByteStorage", storage(Dtype::U8)),
    ("torch", "BoolStorage", storage(Dtype::Bool)),
    ("torch.storage", "UntypedStorage", Global::Storage(None)),
    ("torch", "UntypedStorage", Global::Storage(None)),
    ("torch", "float64", Global::Dtype(Dtype::F64)),
    ("torch", "float32", Global::Dtype(Dtype::F32)),
    ("torch", "float16", Global::Dtype(Dtype::F16)),
    ("torch", "bfloat16", Global::Dtype(Dtype::Bf16)),
    ("torch", "float8_e4m3fn", Global::Dtype(Dtype::F8E4M3)),
    ("torch", "float8_e5m2", Global::Dtype(Dtype::F8E5M2)),
    ("torch", "float8_e8m0fnu", Global::Dtype(Dtype::F8E8M0)),
    ("torch", "complex64", Global::Dtype(Dtype::C64)),
    ("torch", "int64", Global::Dtype(Dtype::I64)),
    ("torch", "int32", Global::Dtype(Dtype::I32)),
    ("torch", "int16", Global::Dtype(Dtype::I16)),
    ("torch", "int8", Global::Dtype(Dtype::I8)),
    ("torch", "uint64", Global::Dtype(Dtype::U64)),
    ("torch", "uint32", Global::Dtype(Dtype::U32)),
    ("torch", "uint16", Global::Dtype(Dtype::U16)),
    ("torch", "uint8", Global::Dtype(Dtype::U8)),
    ("torch", "bool", Global::Dtype(Dtype::Bool)),
];

/// Most dimensions of a tensor, as in PyTorch.
const DIMENSIONS_MAX: usize = 64;

/// The global of this name, if it is allowed.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    ALLOWED.iter().find(|row| row.0 == module && row.1 == name).map(|row| row.2)
}

/// A tensor as a pickle describes it: a view of a storage. Offset and strides count elements.
#[derive(Clone, Debug)]
pub(super) struct TensorSpec {
    /// Which of the machine's storages.
    pub(super) storage: usize,
    pub(super) dtype: Dtype,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A storage as a pickle names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageSpec<'a> {
    pub(super) key: &'a str,
    /// None for bytes, whose type the tensors say.
    pub(super) dtype: Option<Dtype>,
    /// Elements, or bytes where there is no type.
    pub(super) len: usize,
    /// Where a view (of the older layout) begins in the storage.
    pub(super) begin: usize,
}

/// What a call builds; an error is the end of a phrase whose subject is the opcode.
pub(super) fn call<'a>(
    machine: &mut Machine<'a>,
    function: Global,
    arguments: &[Value<'a>],
) -> Phrased<Value<'a>> {
    match (function, arguments) {
        (Global::OrderedDict, []) => machine.new_node(Node::Dict(Vec::new())),
        (Global::OrderedDict, [list]) => ordered_dict(machine, *list),
        (Global::RebuildTensor, [storage, view @ ..]) if view.len() == 3 => {
            tensor(machine, *storage, view, None)
        }
        (Global::RebuildTensorV2, [storage, view @ ..]) if (5..=6).contains(&view.len()) => {
            tensor(machine, *storage, &view[..3], None)
        }
        (Global::RebuildTensorV3, [storage, view @ ..]) if (6..=7).contains(&view.len()) => {
            let Value::Global(Global::Dtype(dtype)) = view[5] else {
                return Err(format!("builds a tensor of the type {:?}", view[5]));
            };
            tensor(machine, *storage, &view[..3], Some(dtype))
        }
        (Global::RebuildParameter, [data, _, _] | [data, _, _, _])
            if machine.tensor(*data).is_some() =>
        {
            Ok(*data)
        }
        (
            Global::RebuildFromType,
            [Value::Global(inner), Value::Global(Global::TensorType), arguments, _],
        ) if *inner != Global::RebuildFromType => {
            let Some(arguments) = machine.tuple(*arguments) else {
                return Err("calls with arguments that are no tuple".to_owned());
            };
            let arguments = arguments.to_vec();
            call(machine, *inner, &arguments)
        }
        (Global::Size, [dims]) if machine.tuple(*dims).is_some() => Ok(*dims),
        (Global::Device, [Value::Text(_)] | [Value::Text(_), Value::Int(_)]) => Ok(Value::None),
        _ => Err(format!("calls {function:?} with {} arguments it does not take", arguments.len())),
    }
}

/// A dictionary from a list of pairs.
fn ordered_dict<'a>(machine: &mut Machine<'a>, list: Value<'a>) -> Phrased<Value<'a>> {
    let mut pairs = Vec::new();
    for item in machine.list(list).unwrap_or_default() {
        match machine.tuple(*item).or_else(|| machine.list(*item)) {
            Some([key, value]) => pairs.push((*key, *value)),
            _ => return Err("builds a dictionary from what are no pairs".to_owned()),
        }
    }
    machine.new_node(Node::Dict(pairs))
}

/// A tensor from its storage and `(offset, size, stride)`.
fn tensor<'a>(
    machine: &mut Machine<'a>,
    storage: Value<'a>,
    view: &[Value<'a>],
    dtype: Option<Dtype>,
) -> Phrased<Value<'a>> {
    let Value::Storage(storage) = storage else {
        return Err(format!("builds a tensor on {storage:?}, which is no storage"));
    };
    let numbers = |value: Value<'a>| -> Option<Vec<usize>> {
        let items = machine.tuple(value).filter(|items| items.len() <= DIMENSIONS_MAX)?;
        items.iter().map(|item| item.as_usize()).collect()
    };
    let (Some(offset), Some(shape), Some(strides)) =
        (view[0].as_usize(), numbers(view[1]), numbers(view[2]))
    else {
        return Err("builds a tensor whose offset, size or stride are no numbers".to_owned());
    };
    if shape.len() != strides.len() {
        return Err(format!("builds a tensor of size {shape:?} with strides {strides:?}"));
    }
    let Some(dtype) = dtype.or(machine.storage(storage).dtype) else {
        return Err("builds a tensor without an element type".to_owned());
    };
    machine.new_node(Node::Tensor(TensorSpec { storage, dtype, offset, shape, strides }))
}

/// The storage that a persistent id names: `("storage", type, key, location, length[, view])`.
pub(super) fn storage_of_id<'a>(machine: &Machine<'a>, id: Value<'a>) -> Phrased<StorageSpec<'a>> {
    let bad = || "names a storage in an unknown way".to_owned();
    let [Value::Text("storage"), Value::Global(Global::Storage(dtype)), key, _, len, view @ ..] =
        machine.tuple(id).unwrap_or_default()
    else {
        return Err(bad());
    };
    let (Value::Text(key), Some(len)) = (*key, len.as_usize()) else { return Err(bad()) };
    let begin = match view {
        [] | [Value::None] => 0,
        [view] => match machine.tuple(*view) {
            Some([_, begin, _]) => begin.as_usize().ok_or_else(bad)?,
            _ => return Err(bad()),
        },
        _ => return Err(bad()),
    };
    Ok(StorageSpec { key, dtype: *dtype, len, begin })
}
