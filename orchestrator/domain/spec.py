"""The two files a user writes, as typed models: what to find out, and with which instrument.

A model says what each key means. Reading YAML and finding line numbers is the work of
``adapters.user_files.spec_files``; comparing the two files with each other is that of
``check_together``.
"""

from orchestrator.domain.campaign_spec import (
    BudgetSpec,
    CampaignSpec,
    ConstraintSpec,
    ObjectiveSpec,
    OptimizerSpec,
    ParameterSpec,
    PlanSpec,
    PolicySpec,
    RealignSpec,
    ReduceSpec,
    SampleSpec,
    SamplesSpec,
    SentinelSpec,
    StopAfterSpec,
    StopSpec,
)
from orchestrator.domain.instrument_spec import (
    BUILT_IN,
    CALL_S,
    FILES_WAIT_S,
    ActionStep,
    ConditionSpec,
    DeviceSpec,
    FilesSpec,
    InstrumentBudgetSpec,
    InstrumentSpec,
    MetadataSpec,
    ParkStep,
    QueueserverSpec,
    QuietStep,
    SourceSpec,
    SpendSpec,
    TableTwinSpec,
)
from orchestrator.domain.spec_fields import INCONSISTENT

__all__ = [
    "ActionStep",
    "BUILT_IN",
    "BudgetSpec",
    "CALL_S",
    "CampaignSpec",
    "ConditionSpec",
    "ConstraintSpec",
    "DeviceSpec",
    "FILES_WAIT_S",
    "FilesSpec",
    "INCONSISTENT",
    "InstrumentBudgetSpec",
    "InstrumentSpec",
    "MetadataSpec",
    "ObjectiveSpec",
    "OptimizerSpec",
    "ParameterSpec",
    "ParkStep",
    "PlanSpec",
    "PolicySpec",
    "QueueserverSpec",
    "QuietStep",
    "RealignSpec",
    "ReduceSpec",
    "SampleSpec",
    "SamplesSpec",
    "SentinelSpec",
    "SourceSpec",
    "SpendSpec",
    "StopAfterSpec",
    "StopSpec",
    "TableTwinSpec",
]
