"""Groups the documents of a gold taxonomy by RAPTOR's scheme, on the vectors that `shas eval-tree --cache` keeps.

usage: raptor_peer.py DOCS.jsonl VECTORS.safetensors

UMAP to 10 dimensions (cosine, √n neighbours), then a Gaussian mixture of as many components as the depth has classes;
a document belongs to each component of a probability above 0.1, and the most probable one counts for the figures. The
groups of one depth know nothing of another's, so there are no figures of nested groups. Needs umap-learn and
scikit-learn; prints NMI, ARI and purity at every depth, for the model's vectors and for model + lexical.
"""

import json
import struct
import sys

import numpy as np
import umap
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

SEED = 224  # RAPTOR's own.
DIMENSIONS = 10
THRESHOLD = 0.1


def tensors(path: str) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    kinds = {"F32": np.float32, "U32": np.uint32}
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = np.frombuffer(data[start:end], kinds[entry["dtype"]])
            found[name] = values.reshape(entry["shape"])
    return found


def classes(line: dict) -> list[str | None]:
    """The classes of a document, from the broadest."""
    if "book" in line:
        path = [line["book"], *line["path"]]
        return [" / ".join(path[: depth + 1]) for depth in range(len(path))]
    found = []
    while (key := f"l{len(found) + 1}") in line:
        found.append(line[key])
    return found


def purity(gold: list[str], groups: np.ndarray) -> float:
    """The share of documents that are of their group's commonest class."""
    right = 0
    for group in np.unique(groups):
        own = [label for label, other in zip(gold, groups) if other == group]
        right += max(own.count(label) for label in set(own))
    return right / len(gold)


def main() -> None:
    docs, vectors = sys.argv[1:]
    with open(docs, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    kept = tensors(vectors)
    gold = [classes(lines[number]) for number in kept["lines"]]
    depths = max(map(len, gold))
    for kind in ("model", "joint"):
        n = len(kept[kind])
        reduced = umap.UMAP(
            n_neighbors=int((n - 1) ** 0.5),
            n_components=DIMENSIONS,
            metric="cosine",
            random_state=SEED,
        ).fit_transform(kept[kind])
        for depth in range(depths):
            labels = [own[depth] if depth < len(own) else None for own in gold]
            count = len(set(labels) - {None})
            mixture = GaussianMixture(count, random_state=SEED).fit(reduced)
            shares = mixture.predict_proba(reduced)
            has = np.array([label is not None for label in labels])
            own = [label for label in labels if label is not None]
            groups = shares.argmax(axis=1)[has]
            print(
                f"{kind:<6} {count:>3} classes:"
                f"  NMI {normalized_mutual_info_score(own, groups):.3f}"
                f"  ARI {adjusted_rand_score(own, groups):.3f}"
                f"  purity {purity(own, groups):.3f}"
                f"  groups a document {(shares > THRESHOLD).sum(axis=1).mean():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
