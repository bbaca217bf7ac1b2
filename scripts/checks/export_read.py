#!/usr/bin/env python3
"""Reads exported files with DuckDB and with ClickHouse (chdb): JSON in, JSON out. Runs in .venv.

In: {"files": folder, "sums": {table: select list}}. Out: {"counts": {reader: {table: rows}}, "sums": {reader: {table: [...]}}}.
"""

import json
import os
import sys

import chdb
import duckdb


def main():
    asked = json.load(sys.stdin)
    files = asked["files"]
    tables = sorted(name for name in os.listdir(files) if os.path.isdir(os.path.join(files, name)))
    counts, sums = {"duckdb": {}, "chdb": {}}, {"duckdb": {}, "chdb": {}}
    for table in tables:
        pattern = os.path.join(files, table, "*", "*.parquet")
        ask = {
            "duckdb": lambda select, pattern=pattern: duckdb.sql(
                f"select {select} from read_parquet('{pattern}', hive_partitioning = true)").fetchall()[0],
            "chdb": lambda select, pattern=pattern: json.loads(
                chdb.query(f"select {select} from file('{pattern}', Parquet)", "JSONCompact").bytes())["data"][0],
        }
        for reader, query in ask.items():
            rows, distinct = (int(number) for number in query("count(*), count(distinct seq)"))
            assert rows == distinct, f"{reader}: {table} has a record twice: {rows} rows, {distinct} numbers"
            counts[reader][table] = rows
            if table in asked["sums"]:
                sums[reader][table] = [plain(value) for value in query(asked["sums"][table])]
    json.dump({"counts": counts, "sums": sums}, sys.stdout)


def plain(value):
    """Whole numbers as such; decimals as text with four digits."""
    text = str(value)
    if "." in text:
        whole, digits = text.split(".")
        return f"{whole}.{digits:0<4}"
    return int(text)


if __name__ == "__main__":
    main()
