"""A cap on everything that a user can make large. Each is named in the error that enforces it."""

PLAN_BYTES = 4 * 1024 * 1024
"""Size of a plan file. A file of 10,000 one-line steps is about 1 MB."""

PLAN_DEPTH = 64
"""Nesting of mappings and lists in a plan file."""

PLAN_NODES = 400_000
"""Keys and values of a plan file, 20 for each of the most steps there can be. Bounds the time that reading takes."""

PLAN_TEMPLATES = 50_000
"""Templates of a plan file; each takes about a tenth of a millisecond to check."""

PLAN_TAGS = 50_000
"""`<AUTO>` tags of a plan file."""

STEPS = 20_000
"""Steps of one plan."""

EDGES = 1_000_000
"""Dependencies of one plan, all told."""

ID_CHARACTERS = 44
"""Length of a step's or pipeline's id: ids stand in every message, and a message stays under 1 KB."""

INPUT_BYTES = 16 * 1024 * 1024
"""Size of a run's inputs as JSON."""

VALUE_BYTES = 32 * 1024 * 1024
"""Size of what one step may leave in the store, as JSON. A worker may lower it."""

INLINE_VALUE_BYTES = 256 * 1024
"""Above this a value is compressed into a key of its own, so that reading a run's small values stays cheap."""

QUESTION_BYTES = 256 * 1024
"""Size of a question as JSON, with the text that a person is to read."""

ANSWER_BYTES = 1024 * 1024
"""Size of an answer as JSON."""

VARIABLES = 10_000
"""Names that may be set in one run, each scope's counted by itself."""

VERSIONS = 100
"""Versions that are kept of one name; the oldest go first."""

TEMPLATE_BYTES = 1024 * 1024
"""Size of a template's source."""

RENDERED_BYTES = 8 * 1024 * 1024
"""Size of what one template may render to."""

RENDER_SECONDS = 5.0
"""Time of the processor that one template may take."""

TIMEOUT_SECONDS = 24 * 3600
"""Longest `timeout` of a step."""

ATTEMPTS = 100
"""Most attempts that a plan may ask for."""

PIPELINE_DEPTH = 8
"""Pipelines that run each other, one within the other, below the one that a client submits."""

DELTAS = 100_000
"""Pieces of text that a run's stream keeps; the oldest go first."""

ITEMS = 100_000
"""Items of one map."""

PASSES = 100_000
"""Passes of one loop."""

TURNS = 100
"""Calls of the model in one step."""

CALLS_OF_A_TURN = 128
"""Tools that a model may ask for at once."""

WEATHERS = 1_000
"""Refusals by a provider's limits that one step waits out, before they count as failures of its own."""

ARTIFACT_TEXT_BYTES = 1024 * 1024
"""Text of a tool's result above which it becomes a file in the run's folder. A worker may change it."""

ARTIFACT_BYTES = 1024 * 1024 * 1024
"""Size of one such file."""
