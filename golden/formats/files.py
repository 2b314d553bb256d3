#!/usr/bin/env python3
"""Small weight files of every format, written by the reference libraries.

    python golden/formats/files.py          # rewrites files/ and files.json

Made with torch 2.15.0, safetensors 0.8.0, gguf 0.19.0 and numpy 2.4.6. `files.json` maps each file
or folder to its tensors: name -> {element, shape, values}, where the values are a list of numbers
(floats as f32, so exact in JSON), and GGUF metadata under the key `metadata`.
"""

import json
import pathlib
import shutil

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
FILES = HERE / "files"
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8",
    torch.bool: "BOOL",
}


def described(tensors):
    def values(tensor):
        if tensor.dtype == torch.complex64:
            return []
        if tensor.dtype.is_floating_point:
            tensor = tensor.float()
        return [v if isinstance(v, float) else int(v) for v in tensor.flatten().tolist()]

    return {
        name: {"element": NAMES[t.dtype], "shape": list(t.shape), "values": values(t)}
        for name, t in tensors.items()
    }


def every_dtype(floats_of_8_bits=True):
    source = torch.linspace(-3, 3, 6).reshape(2, 3)
    kinds = [k for k in NAMES if floats_of_8_bits or not str(k).startswith("torch.float8")]
    return {f"as.{NAMES[kind]}": source.abs().to(kind) for kind in kinds}


def views():
    """Transposed, sliced, shared, empty and scalar tensors, and a parameter."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "base": base,
        "transposed": base.t(),
        "columns": base[:, 1:5:2],
        "rows": base[2:],
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(7.5, dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(base[1] * 2),
    }


def torch_files(listing):
    nested = {"epoch": 3, "model": {"w": torch.ones(2)}, "list": [torch.zeros(1), "text", 1 << 70]}
    nested_names = {"model.w": nested["model"]["w"], "list.0": nested["list"][0]}
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        for index, value in enumerate(module.state_dict().values()):
            if value.is_floating_point():
                value.copy_(torch.linspace(-1, index, value.numel()).reshape(value.shape))
    for name, value, tensors, options in [
        ("dtypes.pt", every_dtype(), every_dtype(), {}),
        ("views.pth", views(), views(), {}),
        ("nested.bin", nested, nested_names, {}),
        ("module.bin", module.state_dict(), module.state_dict(), {}),
        ("protocol4.pt", views(), views(), {"pickle_protocol": 4}),
        ("legacy.pth", views(), views(), {"_use_new_zipfile_serialization": False}),
        ("legacy_module.pth", module.state_dict(), module.state_dict(),
         {"_use_new_zipfile_serialization": False}),
        ("legacy_dtypes.pt", every_dtype(False), every_dtype(False),
         {"_use_new_zipfile_serialization": False}),
    ]:
        torch.save(value, FILES / name, **options)
        listing[name] = described(tensors)


def sharded(listing):
    """Two folders whose weights lie in two files each, with the index that names them."""
    tensors = {f"layer.{i}.weight": torch.full((2, 2), i + 0.5) for i in range(4)}
    for folder, name, save in [
        ("sharded-safetensors", "model", lambda t, p: save_file(t, p, metadata={"format": "pt"})),
        ("sharded-bin", "pytorch_model", torch.save),
    ]:
        (FILES / folder).mkdir()
        end = "safetensors" if name == "model" else "bin"
        weight_map = {}
        for part, keys in enumerate([list(tensors)[:2], list(tensors)[2:]], 1):
            file = f"{name}-{part:05}-of-00002.{end}"
            save({key: tensors[key] for key in keys}, FILES / folder / file)
            weight_map |= {key: file for key in keys}
        index = {"metadata": {"total_size": 64}, "weight_map": weight_map}
        path = FILES / folder / f"{name}.{end}.index.json"
        path.write_text(json.dumps(index, indent=1) + "\n")
        listing[folder] = described(tensors)


def gguf_file(listing):
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(FILES / "model.gguf", "llama")
    keys = {"general.architecture": "llama"}

    def add(add_one, key, value):
        add_one(key, value)
        keys[key] = value

    for kind, value in [("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000),
                        ("uint32", 4000000000), ("int32", -2000000000), ("uint64", 1 << 63),
                        ("int64", -(1 << 62)), ("float32", 0.5), ("float64", 1e300),
                        ("bool", True), ("string", "text \u4e39\u7089")]:
        add(getattr(writer, f"add_{kind}"), f"test.{kind}", value)
    add(writer.add_array, "test.strings", ["a", "", "\u7089\U0001f525", "z" * 40])
    add(writer.add_array, "test.integers", [1, -2, 3])
    add(writer.add_array, "test.floats", [0.25, -1.5])
    add(writer.add_array, "test.booleans", [True, False])
    add(writer.add_array, "test.nested", [[1, 2], [3]])
    tensors = {}
    for name, array in [("f32", random.standard_normal((2, 3)).astype(np.float32)),
                        ("f16", random.standard_normal((3, 1, 5)).astype(np.float16)),
                        ("i32", np.arange(5, dtype=np.int32)), ("f64", np.array([1.5, -2.0]))]:
        writer.add_tensor(name, array)
        tensors[name] = (name.upper(), array.shape, array.flatten().tolist())
    for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q5_1):
        values = random.standard_normal((2, 64)).astype(np.float32)
        blocks = gguf.quants.quantize(values, kind)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        read = gguf.quants.dequantize(blocks, kind).flatten().tolist()
        tensors[kind.name] = (kind.name, values.shape, read)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    listing["model.gguf"] = {
        name: {"element": element, "shape": list(shape), "values": values}
        for name, (element, shape, values) in tensors.items()
    } | {"metadata": keys}


def main():
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    listing = {}
    torch_files(listing)
    sharded(listing)
    save_file(every_dtype(), FILES / "dtypes.safetensors")
    listing["dtypes.safetensors"] = described(every_dtype())
    gguf_file(listing)
    text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in listing.items())
    (HERE / "files.json").write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    main()
