"""Real faults on real processes: a workload, a fault at a random point of it, and an oracle that judges what is left.

python -m tests.chaos --fault F24 --workload fan --seed 7
"""
