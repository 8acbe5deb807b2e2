"""A gate in a script: a call that asks, waits, and returns the recorded decision.

python examples/plain_python.py
"""

from bridge import approval


def main() -> None:
    rows = 1_200_431
    decision = approval(
        "migrate",
        "anyone",
        message=f"Migrate {rows:,} rows? Writes are blocked meanwhile.",
        artifacts={"rows": rows},
        input_schema={"batch": "int = 5000"},
        timeout_seconds=4 * 3600,
    )
    print(f"migrating {rows:,} rows, {decision.inputs['batch']} at a time")
    print("approved by", ", ".join(decision.approvers))


if __name__ == "__main__":
    main()
