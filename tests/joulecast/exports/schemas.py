"""What two formats ask for, of which no package carries a schema; written by hand from these.

BoAmps: github.com/Boavizta/BoAmps, model/report_schema.json, algorithm_schema.json,
dataset_schema.json and hardware_schema.json of 2025, read there; what a measure asks for, from
CodeCarbon 3.3.2's models of the same data model.

SCI: `manifestSchema` in build/common/util/validations.js of @grnsft/if 1.1.0, and what its plugins
Multiply and Sci ask of their inputs.
"""

from typing import Any

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def record(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def several(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


BOAMPS = record(
    {
        "task": record(
            {
                "taskStage": TEXT,
                "taskFamily": TEXT,
                "algorithms": several(
                    record(
                        {},
                        {
                            **dict.fromkeys(
                                (
                                    "algorithmType", "foundationModelName", "framework",
                                    "frameworkVersion", "quantization",
                                ),
                                TEXT,
                            ),
                            "parametersNumber": NUMBER,
                            "layersNumber": NUMBER,
                        },
                    )
                ),
                "dataset": several(
                    record(
                        {
                            "dataUsage": {"enum": ["input", "output"]},
                            "dataType": {
                                "enum": [
                                    "tabular", "audio", "boolean", "image", "video", "object",
                                    "text", "token", "word", "other",
                                ]
                            },
                        },
                        {"dataQuantity": NUMBER},
                    )
                ),
            },
            {"nbRequest": NUMBER, "taskDescription": TEXT},
        ),
        "measures": several(
            record(
                {"measurementMethod": TEXT, "powerConsumption": NUMBER},
                {"version": TEXT, "measurementDuration": NUMBER},
            )
        ),
        "infrastructure": record(
            {
                "infraType": {"enum": ["publicCloud", "privateCloud", "onPremise", "other"]},
                "components": several(
                    record(
                        {"componentType": TEXT, "nbComponent": {"type": "integer"}},
                        {
                            "componentName": TEXT,
                            "memorySize": {"type": "integer"},
                            "manufacturer": TEXT,
                            "series": TEXT,
                        },
                    )
                ),
            },
            {"cloudProvider": TEXT},
        ),
    },
    {
        "header": record(
            {"reportDatetime": TEXT},
            {"formatVersion": TEXT, "formatVersionSpecificationUri": TEXT, "reportId": TEXT},
        ),
        "environment": record(
            {"country": TEXT}, {"location": TEXT, "powerSourceCarbonIntensity": NUMBER}
        ),
        "quality": {"enum": ["high", "medium", "low"]},
    },
)  # fmt: skip

AT_LEAST_0 = {"type": "number", "minimum": 0}
INPUTS = {
    "timestamp": TEXT,
    "duration": {"type": "number", "minimum": 1},
    "energy": AT_LEAST_0,
    "grid/carbon-intensity": AT_LEAST_0,
    "requests": AT_LEAST_0,
}
ENDS = {"energy-interval-low": AT_LEAST_0, "energy-interval-high": AT_LEAST_0}
PLUGIN = record({"path": TEXT, "method": TEXT}, {"config": {"type": "object"}})

SCI = record(
    {
        "name": TEXT,
        "initialize": record(
            {"plugins": {"type": "object", "minProperties": 1, "additionalProperties": PLUGIN}}
        ),
        "tree": record(
            {
                "children": record(
                    {
                        "serving": record(
                            {
                                "pipeline": record({"compute": several(TEXT)}),
                                "inputs": several(record(INPUTS, ENDS)),
                                "outputs": several(
                                    record(
                                        {**INPUTS, "carbon": AT_LEAST_0, "sci": AT_LEAST_0}, ENDS
                                    )
                                ),
                            }
                        )
                    }
                )
            }
        ),
    },
    {"description": TEXT, "tags": record({}, {"kind": TEXT, "category": TEXT})},
)
