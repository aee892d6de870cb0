"""The configuration: one YAML file, checked as a whole, turned into `model.policy.Policy`.

`loading.load` is the door. The models in `schema` and its neighbours are the file as written; `effective`
says what follows from it (inherited and derived values); `policy` makes what the core needs. The core
never sees pydantic.
"""
