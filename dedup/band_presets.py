"""Published choices of shingle, bands and rows, by name.

A preset gives the shapes alone: words, folding and hash functions stay those of this package, verification and survivor
what the recipe says. The similarity given with each is (1 / bands)^(1 / rows), at which about 63% of pairs are found.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

PRESETS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        name: MappingProxyType({"shingle": shingle, "shingle_size": size, "bands": bands, "rows": rows})
        for name, shingle, size, bands, rows in (
            ("fineweb", "words", 5, 14, 8),
            ("refinedweb", "words", 5, 450, 20),
            ("nemo", "chars", 24, 20, 13),
            ("redpajama_v2", "words", 13, 9, 13),
            ("bigcode", "words", 5, 25, 10),
            ("zyda_2", "chars", 25, 8, 16),
        )
    }
)
"""Name to the keys of `dedup` that it fills.

- fineweb: Penedo et al. 2024 (The FineWeb Datasets, on deduplication); datatrove's MinhashConfig. 0.72.
- refinedweb: Penedo et al. 2023 (The RefinedWeb Dataset, appendix on MinHash): 9,000 hashes, there of 5 GPT-2
  tokens. 0.74, and the steepest curve of all, for 80 times the hashing.
- nemo: NVIDIA NeMo Curator's FuzzyDeduplicationWorkflow: 24 characters, 260 hashes. 0.79.
- redpajama_v2: Weber et al. 2024 (RedPajama), configs/rp_v2.0.conf of its repository: 13 words and 128 hashes, of which
  its bands for a similarity of 0.8 use 117. 0.84. (0.7: 14 x 9; 0.9: 5 x 25; 1.0: 1 x 128.)
- bigcode: the script behind The Stack (Kocetkov et al. 2022), text-dedup's minhash_spark: 250 hashes. 0.72.
- zyda_2: Tokpanov et al. 2024 (Zyda-2): 25 characters, 128 hashes. 0.88.
"""
