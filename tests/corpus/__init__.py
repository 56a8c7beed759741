"""Bad input: 85 rows of what people, files and programs hand in wrongly, and what each is to meet.

A row has cases, which are plan files with what `validate` says of them, or names the tests that show it, where it takes
a worker, a Redis or a terminal; many have both. `because` says where a row is met otherwise than one might expect.
`python -m tests.corpus` judges the cases as the command line does, and shows what each takes of time and memory.
"""
