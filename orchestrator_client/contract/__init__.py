"""What client and workers must agree on: plans, templates, runs, events, names and errors.

Nothing here speaks to Redis or Celery, and nothing here imports the rest of the project. The contract only ever
gains fields: a reader ignores those it does not know, so an old client and a new worker can share a run.
"""
