"""Runs datatrove's filters of a language over a folder of jsonl files with two workers.

    python filters_chain.py en|zh FOLDER OUT

Written against datatrove 0.10.1. The filters and their order are those of filters_reference.py;
OUT gets what is kept and, apart, what is dropped, as in the published pipelines.
"""
import os, sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter

from filters_reference import filters_en, filters_zh

if __name__ == "__main__":
    language, folder, out = sys.argv[1:4]
    filters, order, _ = filters_en() if language == "en" else filters_zh()
    for name in order:
        filters[name].exclusion_writer = JsonlWriter(os.path.join(out, name), compression=None)
    pipeline = [JsonlReader(folder), *(filters[name] for name in order),
                JsonlWriter(os.path.join(out, "kept"), compression=None)]
    logs = os.path.join(out, "logs")
    LocalPipelineExecutor(pipeline, tasks=2, workers=2, logging_dir=logs).run()
