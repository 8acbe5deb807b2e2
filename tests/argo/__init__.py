"""A stand-in for Argo's workflow controller: as much of it as Metaflow and our injection use.

It runs workflows whose pods are local processes, and refuses every field that it does not know.
That it agrees with the real one is held by `test_argo_standin.py`, against recordings of that.
"""
