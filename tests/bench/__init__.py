"""Benchmarks: ``python -m tests.bench COMMAND``, from the root of the checkout.

``load`` puts the program beside other proxies, ``micro`` times single steps, ``eviction`` compares
hit ratios, ``connections`` weighs idle connections and tunnels, ``size`` takes a large cache.
Absolute figures of a busy machine say little; ratios within one run say more.
"""
