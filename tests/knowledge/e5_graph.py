"""Makes `knowledge/embedders/e5_graph.onnx`: `python -m tests.knowledge.e5_graph`.

What multilingual-e5-small computes between the vectors of its tokens and their mean: twelve layers of attention and
two projections. The weights are named here and given when it is loaded.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from knowledge.embedders.e5_encoder import GRAPH_FILE

WIDTH, INNER, LAYERS, HEADS, BLOCK = 384, 1536, 12, 12, 32
EPSILON = 1e-12
INT8 = 4  # of MatMulNBits' levels of accuracy: activations rounded to 8 bits, in the weights' blocks

OPSET, OWN_OPSET, IR_VERSION = 18, 1, 9
OWN = "com.microsoft"


class Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def build(self) -> onnx.ModelProto:
        x = self.normalized("embedded", "emb.ln")
        for number in range(LAYERS):
            x = self.layer(x, f"l{number}")
        self.node("ReduceMean", [x, self.constant("tokens", [1])], ["mean"], keepdims=0)
        graph = helper.make_graph(
            self.nodes,
            "multilingual-e5-small",
            [helper.make_tensor_value_info("embedded", TensorProto.FLOAT, [1, "tokens", WIDTH])],
            [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, WIDTH])],
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN, OWN_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def layer(self, x: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        self.node("Split", [self.projected(x, f"{name}.qkv", WIDTH, 3 * WIDTH)], parts, axis=-1, num_outputs=3)
        seen = self.node("MultiHeadAttention", parts, [f"{name}.seen"], OWN, num_heads=HEADS)
        x = self.normalized_sum(self.projected(seen, f"{name}.ao", WIDTH, WIDTH), x, f"{name}.aln")
        inner = self.node("Gelu", [self.projected(x, f"{name}.fi", WIDTH, INNER)], [f"{name}.gelu"], OWN)
        return self.normalized_sum(self.projected(inner, f"{name}.fo", INNER, WIDTH), x, f"{name}.oln")

    def projected(self, x: str, name: str, columns: int, rows: int) -> str:
        blocks = columns // BLOCK
        inputs = [
            x,
            self.weight(f"{name}.w", TensorProto.UINT8, [rows, blocks, BLOCK // 2]),
            self.weight(f"{name}.scales", TensorProto.FLOAT, [rows * blocks]),
            "",  # zero points: 8 everywhere
            "",
            self.weight(f"{name}.b", TensorProto.FLOAT, [rows]),
        ]
        options = {"K": columns, "N": rows, "bits": 4, "block_size": BLOCK, "accuracy_level": INT8}
        return self.node("MatMulNBits", inputs, [f"{name}.out"], OWN, **options)

    def normalized_sum(self, x: str, y: str, name: str) -> str:
        return self.normalized(self.node("Add", [x, y], [f"{name}.sum"]), name)

    def normalized(self, x: str, name: str) -> str:
        inputs = [x, *(self.weight(f"{name}.{part}", TensorProto.FLOAT, [WIDTH]) for part in "wb")]
        return self.node("LayerNormalization", inputs, [f"{name}.out"], axis=-1, epsilon=EPSILON)

    def node(self, operator: str, inputs: list[str], outputs: list[str], domain: str = "", **options: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **options))
        return outputs[0]

    def constant(self, name: str, values: list[int]) -> str:
        self.weights.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def weight(self, name: str, kind: int, shape: list[int]) -> str:
        """One that is given when the graph is loaded: it says that it lies elsewhere, and where does not matter."""
        tensor = onnx.TensorProto(
            name=name, data_type=kind, dims=shape, data_location=TensorProto.DataLocation.EXTERNAL
        )
        tensor.external_data.add(key="location", value="given")
        self.weights.append(tensor)
        return name


def graph_bytes() -> bytes:
    content: bytes = Graph().build().SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    GRAPH_FILE.write_bytes(graph_bytes())
    print(f"{GRAPH_FILE.name}: {GRAPH_FILE.stat().st_size} bytes")
