"""The arithmetic of a step of `phase_field`, compiled: images `(N, n, m)`, factors `(n, m)`."""

from __future__ import annotations

from ..io.compiling import kernel

__all__ = ["combine", "finish", "last_stage", "react"]


@kernel()
def react(c):  # noqa: ANN001, ANN202
    for i in range(c.size):
        c[i] = c[i] * (c[i] * c[i] - 1.0)


@kernel()
def combine(out, p, u, q, w):  # noqa: ANN001, ANN202
    for s in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[s, i, j] = p[i, j] * u[s, i, j] + q[i, j] * w[s, i, j]


@kernel()
def last_stage(a, p, q, rate_b, rate_v):  # noqa: ANN001, ANN202
    for s in range(a.shape[0]):
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                a[s, i, j] = p[i, j] * a[s, i, j] + q[i, j] * (
                    2.0 * rate_b[s, i, j] - rate_v[s, i, j]
                )


@kernel()
def finish(v, whole, first, rate_v, middle, rate_a, rate_b, last, rate_c):  # noqa: ANN001, ANN202
    for s in range(v.shape[0]):
        for i in range(v.shape[1]):
            for j in range(v.shape[2]):
                v[s, i, j] = (
                    whole[i, j] * v[s, i, j]
                    + first[i, j] * rate_v[s, i, j]
                    + middle[i, j] * (rate_a[s, i, j] + rate_b[s, i, j])
                    + last[i, j] * rate_c[s, i, j]
                )
