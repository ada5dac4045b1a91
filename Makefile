ENGINE ?= vllm
SCENARIO ?= scenarios/smollm2-cpu-offline.yaml
PATCH ?= patches/example-cpu
VENV = .venv$(if $(filter-out vllm,$(ENGINE)),-$(ENGINE))

.PHONY: run test setup
run: setup        ## judge the example pack in the real engine and write the report
	$(VENV)/bin/fk-overlay run --engine $(ENGINE) --scenario $(SCENARIO) --patch $(PATCH) --passes 1
test: setup       ## everything that needs no GPU and takes under a quarter of an hour
	$(VENV)/bin/python -m pytest
setup:
	.ci/setup $(ENGINE)
