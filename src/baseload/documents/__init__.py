"""Every data file that ships or that you wrote, read and checked, and files written whole. Acts.

prices         offers, machines, leases: the catalog
deployments    what was measured, with the loads behind it
models         layers of models, and the capacity model
parameters     the table of the cost model
scenarios      the articles' cases, and yours
reading        one file against its shape: a broken one is a BadConfig that names file, row and field
writing        whole, or not at all
"""

from baseload.documents.deployments import Deployments, keep_deployment, load_deployments
from baseload.documents.models import CAPACITY_DATA, load_architectures, load_capacity_model, read_architecture
from baseload.documents.parameters import COST_DATA, load_parameters
from baseload.documents.prices import DATA, MARKET_PACKAGE, catalog_of, load_catalog, load_leases, load_machines
from baseload.documents.scenarios import PLAN_DATA, load_scenarios, read_scenario
from baseload.documents.writing import write_whole, write_yaml

__all__ = [
    "CAPACITY_DATA",
    "COST_DATA",
    "DATA",
    "MARKET_PACKAGE",
    "PLAN_DATA",
    "Deployments",
    "catalog_of",
    "keep_deployment",
    "load_architectures",
    "load_capacity_model",
    "load_catalog",
    "load_deployments",
    "load_leases",
    "load_machines",
    "load_parameters",
    "load_scenarios",
    "read_architecture",
    "read_scenario",
    "write_whole",
    "write_yaml",
]
