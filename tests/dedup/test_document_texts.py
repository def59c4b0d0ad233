import numpy as np
import pytest

from corpusmill.dedup.document_texts import document_texts
from corpusmill.parquet_parts import ROWS_PER_GROUP
from corpusmill.schemas import ADDRESS_STRIDE
from corpusmill.storage import Folder
from tests.dedup.near_runs import text_run

PARTS = [{f"a{i}": f"text {i} of the first" for i in range(ROWS_PER_GROUP + 5)}, {"b0": "übrig", "b1": ""}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return text_run(tmp_path_factory.mktemp("texts"), PARTS)


def test_texts_come_in_the_order_asked_for_and_as_often(run: Folder):
    asked = [ADDRESS_STRIDE + 1, ROWS_PER_GROUP, 3, ADDRESS_STRIDE, 3, ROWS_PER_GROUP - 1]
    expected = ["", f"text {ROWS_PER_GROUP} of the first", "text 3 of the first", "übrig", "text 3 of the first"]
    assert document_texts(run, np.array(asked)).to_pylist() == [*expected, f"text {ROWS_PER_GROUP - 1} of the first"]


def test_no_address_no_text(run: Folder):
    assert document_texts(run, np.zeros(0, np.int64)).to_pylist() == []


def test_an_address_beyond_its_part_is_refused(run: Folder):
    with pytest.raises(AssertionError, match="beyond the end"):
        document_texts(run, np.array([ADDRESS_STRIDE + 2]))
