"""Rows as a Markdown table of ratios, and as plots of throughput over batch and over context."""

from statistics import median

BEGIN = "<!-- peers: written by `cargo xtask bench peers` -->"
END = "<!-- peers: end -->"
OURS = "Tokenmill"


def markdown(rows, peaks, args):
    """One table for each model: our speed, and for each peer its speed and how many times as fast we are."""
    parts = [
        f"`{args.command}`: tokens a second, medians of {args.rounds} rounds in turn, {args.threads} threads, each peer in"
        " the configuration that was its best when all were tried. In brackets: how many times as fast we are.",
        f"What `tokenmill bench` measured as possible, {summary(peaks)}.",
    ]
    for model in unique(row.model for row in rows):
        of_model = [row for row in rows if row.model == model]
        peers = [name for name in unique(row.engine for row in of_model) if name != OURS]
        lines = [f"| `{model}` | {OURS} | " + " | ".join(peers) + " |", "|---|---|" + "---|" * len(peers)]
        for workload in unique(row.workload for row in of_model):
            cells = {row.engine: row for row in of_model if row.workload == workload}
            if OURS not in cells:
                continue
            ours = cells[OURS].tokens_per_s
            told = [told_peer(cells.get(peer), ours) for peer in peers]
            lines.append(f"| {workload} | {ours:.1f} | " + " | ".join(told) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def told_peer(row, ours):
    return f"{row.tokens_per_s:.1f} (**{ours / row.tokens_per_s:.2f}**)" if row else "cannot run it"


def summary(peaks):
    """Median and range of what the runs measured as possible: the machine's own noise."""
    names = {"read_gb_s": "GB/s read", "int8_gops": "GOPS int8", "f32_gflops": "GFLOPS f32"}
    told = []
    for key, unit in names.items():
        values = [peak[key] for peak in peaks if peak[key]]
        if values:
            told.append(f"{median(values):.0f} {unit} ({min(values):.0f} to {max(values):.0f})")
    return "median and range: " + ", ".join(told)


def write(docs, text, rows):
    """Puts the text between the marks of `benchmarks.md` and the plots into `images`."""
    page = docs / "benchmarks.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    images = "".join(
        f"\n![{what}](images/{file})\n"
        for what, file in [
            ("Tokens a second over streams", plot(docs, rows, "streams")),
            ("Tokens a second over context", plot(docs, rows, "depth")),
        ]
        if file
    )
    page.write_text(f"{before}{BEGIN}\n\n{text}{images}\n{END}{after}")


def plot(docs, rows, axis):
    """One small chart for each model: our line and the peers'."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tokenmill"
    from matplotlib import pyplot

    def belongs(workload):
        alone = workload.streams == 1
        return workload.kind == "decode" and (alone if axis == "depth" else not alone or workload.depth == 0)

    chosen = [row for row in rows if belongs(row.workload)]
    models = unique(row.model for row in chosen)
    if len(unique(getattr(row.workload, axis) for row in chosen)) < 2:
        return None
    figure, axes = pyplot.subplots(1, len(models), figsize=(3.4 * len(models), 3), squeeze=False)
    for chart, model in zip(axes[0], models):
        for engine in unique(row.engine for row in chosen):
            points = sorted(
                (getattr(row.workload, axis), row.tokens_per_s)
                for row in chosen
                if row.model == model and row.engine == engine
            )
            chart.plot(*zip(*points), marker="o", markersize=3, label=engine) if points else None
        chart.set_title(model, fontsize=8)
        chart.set_xlabel("streams" if axis == "streams" else "tokens of context")
        chart.set_ylim(bottom=0)
        chart.tick_params(labelsize=7)
    axes[0][0].set_ylabel("tokens a second")
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    file = f"peers-{axis}.svg"
    figure.savefig(docs / "images" / file, metadata={"Date": None})
    return file


def unique(values):
    return list(dict.fromkeys(values))
