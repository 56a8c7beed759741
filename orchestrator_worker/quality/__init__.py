"""What a step left, held to its plan's rules: one file for each family of rules, all of them pure.

`subject` is what is looked at; `extent`, `form` and `wording` look at it; `rules` knows which of them for which kind.
`judge` is what a model is asked and what its answer means; `inspector` says what the step wants after all of it.
"""
