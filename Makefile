ENGINE ?= vllm
SCENARIO ?= scenarios/smollm2-cpu-offline.yaml
PATCH ?= patches/example-cpu

.PHONY: run test setup
run: setup        ## judge the example pack in the real engine and write the report
	.venv/bin/fk-overlay run --engine $(ENGINE) --scenario $(SCENARIO) --patch $(PATCH)
test: setup       ## everything that needs no GPU and takes under a quarter of an hour
	.venv/bin/python -m pytest
setup:
	.ci/setup
