#!/usr/bin/env python3
"""Turns the results of scripts/bench.sh (one JSON object a line) into Markdown, or into the data
files that plot.gp draws.

A figure is the median of the rounds. Its ratio is the median of the ratios to ours within each
round, which a machine that drifts does not move; its noise is half the range of the rounds.
"""

import argparse
import collections
import json
import statistics
import sys

NAMES = {
    "floor": "plain TCP, epoll, C (the kernel)",
    "memory": "TLS alone, in memory (OpenSSL)",
    "sum": "kernel + OpenSSL (sum)",
    "reference": "reference: C, epoll, OpenSSL alone",
    "numbered": "the least of tlsmsg/1: C, epoll, OpenSSL alone",
    "sha256": "SHA-256 of the message",
    "ours": "**tlsmsg-server**",
    "ours-log": "tlsmsg-server, transcript to a file",
    "ours-store": "tlsmsg-server, --store",
    "ours-postgresql": "tlsmsg-server, --store in PostgreSQL",
    "ours-replicated": "the same with a synchronous standby",
    "ours-plain": "tlsmsg-server, plaintext build",
    "log": "own log, synced once for all that came together",
    "mosquitto": "Mosquitto, QoS 1",
    "nats": "NATS JetStream, in files",
    "go": "Go crypto/tls",
    "nginx": "nginx stream + njs",
    "node": "Node tls",
    "python": "Python asyncio ssl",
    "haproxy": "haproxy + plain responder",
    "hitch": "hitch + plain responder",
    "stunnel": "stunnel + plain responder",
}
PEERS = ("go", "nginx", "node", "python", "haproxy", "hitch", "stunnel")
COLUMNS = {
    "1x1x64": "1×1×64",
    "64x1x64": "64×1×64",
    "64x16x64": "64×16×64",
    "16x1x1000": "16×1×1000",
    "full": "handshake full",
    "resumed": "resumed",
    "idle": "KiB per idle connection",
}
LATENCY_COLUMN = "64x1x64"
IN_WORDS = {
    "full": "a connection with a full handshake (µs)",
    "resumed": "a connection with a resumed session (µs)",
    "idle": "an idle connection (KiB)",
}


class Results:
    """All values, by contender, column and round."""

    def __init__(self, lines):
        self.values = collections.defaultdict(dict)
        self.raw = collections.defaultdict(list)
        for line in lines:
            item = json.loads(line)
            key = (item["contender"], item["column"])
            result = item["result"]
            value = result.get("kib_per_connection", result.get("server_cpu_us_per_unit"))
            if value is not None:
                self.values[key][item["round"]] = value
            self.raw[key].append(result)
        self._add_sums()

    def _add_sums(self):
        for (contender, column), rounds in list(self.values.items()):
            memory = self.values.get(("memory", column), {})
            if contender == "floor" and column != "idle":
                both = {r: v + memory[r] for r, v in rounds.items() if r in memory}
                if both:
                    self.values[("sum", column)] = both

    def columns(self):
        present = {column for _, column in self.values}
        known = [c for c in COLUMNS if c in present]
        return known + sorted(present - set(known))

    def contenders(self):
        present = {contender for contender, _ in self.values}
        return [c for c in NAMES if c in present]

    def median(self, contender, column):
        rounds = self.values.get((contender, column))
        return statistics.median(rounds.values()) if rounds else None

    def noise_percent(self, contender, column):
        rounds = self.values[(contender, column)].values()
        middle = statistics.median(rounds)
        return 50 * (max(rounds) - min(rounds)) / middle if middle > 0 else 0

    def ratio(self, contender, column, base="ours"):
        """Median of contender / base within each round."""
        over = self.values.get((contender, column), {})
        under = self.values.get((base, column), {})
        ratios = [over[r] / under[r] for r in over if under.get(r, 0) > 0]
        return statistics.median(ratios) if ratios else None

    def growth(self, column, base):
        """What ours costs more in a column than in another, of the same round."""
        over, under = (self.values.get(("ours", c), {}) for c in (column, base))
        ratios = [over[r] / under[r] for r in over if under.get(r, 0) > 0]
        return statistics.median(ratios) if ratios else None

    def field(self, contender, column, name):
        found = [r[name] for r in self.raw.get((contender, column), []) if name in r]
        return statistics.median(found) if found else None


def figure(value):
    if abs(value) >= 99.5:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.95 else f"{value:.2f}"


def cell(results, contender, column):
    value = results.median(contender, column)
    if value is None:
        return "–"
    text = figure(value)
    if len(results.values[(contender, column)]) > 1:
        text += f" ±{results.noise_percent(contender, column):.0f} %"
    ratio = results.ratio(contender, column)
    if ratio is not None and contender != "ours":
        text += f" ({ratio:.2f})"
    merged = results.field(contender, column, "replies_per_message")
    if merged is not None and merged < 0.999:
        text += "*"
    return f"**{text}**" if contender == "ours" else text


def print_row(cells):
    print("| " + " | ".join(cells) + " |")


def print_costs(results):
    columns = results.columns()
    print("Server CPU (user and system, all its processes), µs per message or connection; "
          "`C×D×S` = connections × messages in flight each × bytes. "
          "Medians ± half the range (ratio to ours).\n")
    print_row([""] + [COLUMNS.get(c, c.replace("x", "×")) for c in columns])
    print("|" + "---|" * (len(columns) + 1))
    for contender in results.contenders():
        print_row([NAMES[contender]] + [cell(results, contender, c) for c in columns])
    if any(r.get("replies_per_message", 1) < 0.999 for rs in results.raw.values() for r in rs):
        print("\n\\* fewer replies than messages: it answers what one read of a stream brings.")


def print_latency(results):
    fields = ("units_per_s", "p50_us", "p90_us", "p99_us", "p99.9_us", "max_us")
    rows = [c for c in results.contenders() if results.field(c, LATENCY_COLUMN, "p99_us")]
    if not rows:
        return
    print(f"\nAt {COLUMNS[LATENCY_COLUMN]}, as the one client saw it (medians)\n")
    print_row(["", "messages/s", "p50 µs", "p90", "p99", "p99.9", "max"])
    print("|" + "---|" * 7)
    for contender in rows:
        values = [results.field(contender, LATENCY_COLUMN, f) for f in fields]
        print_row([NAMES[contender]] + [f"{v:,.0f}" for v in values])


def print_noise(results, notes):
    windows = [r for rs in results.raw.values() for r in rs if "foreign_cpu_percent" in r]
    for note in notes:
        print(f"\n{note}")
    if windows:
        stolen = [r["stolen_cpu_percent"] for r in windows]
        foreign = [r["foreign_cpu_percent"] for r in windows]
        print(f"\nThe machine meanwhile: {statistics.median(foreign):.0f} % (at most "
              f"{max(foreign):.0f} %) of its processors went to other programs, "
              f"{statistics.median(stolen):.0f} % (at most {max(stolen):.0f} %) was stolen by "
              "its host.")


def goal_lines(results):
    """(what, measured, limit) of the goals that this run can judge. The reference is that of the same
    run; the sum of kernel and OpenSSL is no goal, since the reference misses it itself."""
    for column in ("64x1x64", "64x16x64", "16x1x1000", "full", "resumed"):
        yield (f"{column}: against the reference", results.ratio("ours", column, "reference"), 1.05)
    yield ("resumed: against Go", results.ratio("ours", "resumed", "go"), 1.0)
    yield ("full: against nginx", results.ratio("ours", "full", "nginx"), 0.75)
    best = [results.ratio("ours", "64x16x64", p) for p in PEERS]
    best = [b for b in best if b is not None]
    yield ("64x16x64: against the best peer", max(best) if best else None, 0.5)
    yield ("idle: against the reference", results.ratio("ours", "idle", "reference"), 1.0)
    ours = results.field("ours", LATENCY_COLUMN, "p99_us")
    reference = results.field("reference", LATENCY_COLUMN, "p99_us")
    yield ("p99 at 64x1x64: against the reference",
           ours / reference if ours and reference else None, 1.0)
    for column, limit in (("64x1x64", 1.05), ("64x16x64", 1.10), ("16x1x1000", 1.05), ("idle", 1.0)):
        yield (f"{column}: tlsmsg/1 against the document's flow",
               results.growth(column + "+numbered", column), limit)
    yield ("1 MiB messages: against the least of tlsmsg/1",
           results.ratio("ours", "4x1x1048576+producer", "numbered"), 1.25)
    for column in ("64x1x64", "64x16x64", "16x1x1000"):
        yield (f"{column}: with a transcript", results.ratio("ours-log", column), 1.10)


def print_goals(results, lines=goal_lines):
    """True where none of the goals that were measured is missed."""
    all_met = True
    print("\n| goal | measured | at most | |\n|---|---|---|---|")
    for what, measured, limit in lines(results):
        if measured is None:
            print_row([what, "–", f"{limit:.2f}", "not measured"])
        else:
            # As it is told: nothing is missed by what nobody sees.
            met = round(measured, 2) <= limit
            all_met &= met
            print_row([what, f"{measured:.2f}", f"{limit:.2f}", "met" if met else "**missed**"])
    return all_met


STORE_FIELDS = {
    "messages/s": ("units_per_s", 1),
    "server CPU µs": ("server_cpu_us_per_unit", 1),
    "bytes written": ("server_written_bytes_per_unit", 1),
    "p50 ms": ("p50_us", 1000),
    "p99 ms": ("p99_us", 1000),
}


def print_store(results):
    """What each column of a store's run costs: a table, since more than the CPU counts."""
    print("Per message, medians of the rounds; `C×D×S` = connections × messages in flight each × bytes.")
    columns = list(dict.fromkeys(column for _, column in results.raw))
    print()
    print_row(["", "", *STORE_FIELDS])
    print("|---|---|" + "---|" * len(STORE_FIELDS))
    for column in columns:
        title = column.replace("x", "×")
        for contender in results.contenders():
            values = [results.field(contender, column, name) for name, _ in STORE_FIELDS.values()]
            if None in values:
                continue
            shown = [f"{v:,.0f}" if i in (0, 2) else figure(v / by) for i, (v, (_, by)) in
                     enumerate(zip(values, STORE_FIELDS.values()))]
            print_row([title, NAMES[contender].replace("*", ""), *shown])
            title = ""


def quotient(results, field, over, under, column):
    """Median of the quotients within each round."""
    pairs = zip(results.raw.get((over, column), []), results.raw.get((under, column), []))
    found = [a[field] / b[field] for a, b in pairs if a.get(field) and b.get(field)]
    return statistics.median(found) if found else None


def store_goal_lines(results):
    """(what, measured, limit), as goal_lines."""
    rate = quotient(results, "units_per_s", "log", "ours-store", "64x1x64")
    yield ("64x1x64: rate of the own log against --store", rate, 1 / 0.8)
    cpu = "server_cpu_us_per_unit"
    yield ("64x1x64: CPU of --store against the transcript alone",
           quotient(results, cpu, "ours-store", "ours-log", "64x1x64"), 9 / 3.5)
    yield ("64x1x64: CPU of --store in PostgreSQL against the transcript alone",
           quotient(results, cpu, "ours-postgresql", "ours-log", "64x1x64"), 15 / 3.5)
    yield ("64x16x64: CPU of --store against Mosquitto",
           quotient(results, cpu, "ours-store", "mosquitto", "64x16x64"), 1.0)
    yield ("1x1x64: p50 of --store against the own log",
           quotient(results, "p50_us", "ours-store", "log", "1x1x64"), 1.3)


def in_words(column):
    """A column's title in the picture, which has no key to C×D×S."""
    if column in IN_WORDS:
        return IN_WORDS[column]
    work, _, flow = column.partition("+")
    clients, in_flight, size = map(int, work.split("x"))
    return (f"a {size:,}-byte {flow + ' ' if flow else ''}message, {clients:,} "
            f"client{'s' if clients > 1 else ''}, {in_flight} in flight each (µs)")


def write_plot_data(results, folder):
    """One file a column for gnuplot (value, kind, label, figure; largest first), and the titles."""
    plain = {name: text.replace("*", "") for name, text in NAMES.items()}
    # One connection with one message measures the machine's wake-ups: told, and not ranked.
    columns = [column for column in results.columns() if column != "1x1x64"]
    for number, column in enumerate(columns, 1):
        rows = [(results.median(c, column), c) for c in results.contenders()]
        rows = sorted((row for row in rows if row[0] is not None), reverse=True)
        with open(f"{folder}/{number}.dat", "w", encoding="utf-8") as out:
            for value, contender in rows:
                kind = 2 if contender.startswith("ours") else 1 if contender in PEERS else 0
                print(f'{value:.4f} {kind} "{plain[contender]}" "{figure(value)}"', file=out)
    titles = " ".join(f'"{in_words(c)}"' for c in columns)
    with open(f"{folder}/panels.gp", "w", encoding="utf-8") as out:
        print(f"panels = {len(columns)}\ntitles = '{titles}'", file=out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", help="one JSON object a line")
    parser.add_argument("--note", action="append", default=[])
    parser.add_argument("--goals", action="store_true")
    parser.add_argument("--store", action="store_true", help="the table of a store's run")
    parser.add_argument("--plot-data", metavar="FOLDER")
    options = parser.parse_args()
    with open(options.results, encoding="utf-8") as lines:
        results = Results(lines)
    if not results.values:
        sys.exit("tabulate.py: nothing was measured")
    if options.plot_data:
        write_plot_data(results, options.plot_data)
        return 0
    if options.store:
        print_store(results)
    else:
        print_costs(results)
        print_latency(results)
    print_noise(results, options.note)
    lines = store_goal_lines if options.store else goal_lines
    return 1 if options.goals and not print_goals(results, lines) else 0


if __name__ == "__main__":
    sys.exit(main())
