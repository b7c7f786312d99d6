"""Reducers on the workers of a Dask cluster, which see the data folder by the same name."""

import platform
from pathlib import Path

from orchestrator.adapters.processes.dask_cluster import on_cluster
from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.domain.errors import ReductionError, Unusable
from orchestrator.domain.spec import CampaignSpec
from orchestrator.ports import Reduction

_Errand = tuple[CampaignSpec, str, str]
"""A campaign, the data folder and a file of documents in it, as a Dask worker is told."""


def reduce_on_cluster(
    address: str, campaign: CampaignSpec, data_dir: str, documents: str
) -> Reduction:
    """What a Dask worker makes of the documents of a trial. Waits for it without end.

    Args:
        address: of the scheduler, such as tcp://127.0.0.1:8786.
        campaign: names the reducer and the validity rules.
        data_dir: the data folder, absolute.
        documents: the trial's file in it.

    Raises:
        ReductionError: as DocumentReducer.reduce; or the cluster cannot be used, its worker died,
            or it does not see the data folder.
    """
    errand = (campaign, data_dir, documents)
    try:
        ((_, found),) = on_cluster(address, [errand], reduce_there)
    except Unusable as error:
        raise ReductionError(str(error)) from error
    if isinstance(found, str):
        raise ReductionError(found)
    return found


def reduce_there(errand: _Errand) -> Reduction | str:
    """What a Dask worker does; why there is no reduction comes back as a text."""
    campaign, data_dir, documents = errand
    if not (Path(data_dir) / documents).is_file():
        return (
            f"the Dask worker on {platform.node()} does not see {data_dir}/{documents}: the data "
            "folder must be there, too, by the same name"
        )
    try:
        return DocumentReducer(Path(data_dir)).reduce(campaign, documents)
    except ReductionError as error:
        return str(error)
