"""From the teacher's vectors of texts to a vector for each token."""

import numpy as np
from scipy import sparse

RARITY = 3e-4  # a token this frequent starts at half its weight
RIDGE = 0.02  # how strongly a token holds to its start
STEPS = 20  # of conjugate gradients
TINY = np.float32(1e-30)  # keeps a dimension that is solved already from dividing nothing by nothing
DIMENSIONS = 256
SEED = 20


def bags(sequences: list[list[int]], tokens: int) -> sparse.csr_array:
    """A row for each text: the share of each token."""
    rows = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    columns = np.concatenate([np.asarray(s, np.int64) for s in sequences])
    shares = np.repeat([1 / max(1, len(s)) for s in sequences], [len(s) for s in sequences])
    shape = (len(sequences), tokens)
    return sparse.coo_array((shares.astype(np.float32), (rows, columns)), shape=shape).tocsr()


def start(bag: sparse.csr_array, vectors: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """The teacher's vector of each token alone, frequent tokens weighing less, best scaled."""
    frequency = np.asarray(bag.sum(axis=0)).ravel() / bag.shape[0]
    table = alone * (RARITY / (RARITY + frequency))[:, None].astype(np.float32)
    said = bag @ table
    return table * np.float32((said * vectors).sum() / (said * said).sum())


def ridge(bag: sparse.csr_array, vectors: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The table that minimises |bag·table − vectors|² + RIDGE·|table − start|², by conjugate
    gradients with the diagonal as preconditioner, each of the vectors' dimensions on its own."""
    transposed = bag.T.tocsr()
    diagonal = np.asarray(bag.multiply(bag).sum(axis=0)).ravel()[:, None] + np.float32(RIDGE)
    residual = transposed @ (vectors - bag @ table)
    change = np.zeros_like(table)
    preconditioned = residual / diagonal
    direction = preconditioned.copy()
    product = (residual * preconditioned).sum(axis=0)
    for _ in range(STEPS):
        applied = transposed @ (bag @ direction) + np.float32(RIDGE) * direction
        step = product / np.maximum((direction * applied).sum(axis=0), TINY)
        change += step * direction
        residual -= step * applied
        preconditioned = residual / diagonal
        before, product = product, (residual * preconditioned).sum(axis=0)
        direction = preconditioned + (product / np.maximum(before, TINY)) * direction
    return table + change


def compressed(bag: sparse.csr_array, table: np.ndarray) -> np.ndarray:
    """The table in the DIMENSIONS that carry most of the texts' vectors, turned at random, so that
    each dimension carries as much and four bits a value do for all."""
    said = bag @ table
    _, axes = np.linalg.eigh(said.T @ said)
    turn, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((DIMENSIONS, DIMENSIONS)))
    return table @ axes[:, ::-1][:, :DIMENSIONS] @ turn.astype(np.float32)


def table(sequences: list[list[int]], vectors: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """A vector for each token."""
    bag = bags(sequences, len(alone))
    mean = vectors.mean(axis=0)
    vectors, alone = vectors - mean, alone - mean
    single = start(bag, vectors, alone)
    # Fitted to glosses and descriptions alone, the table would do worse on talk.
    return compressed(bag, ridge(bag, vectors, single) + single)
