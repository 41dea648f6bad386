import pytest
from benchmarks.arithmetic import matrix_parameters

from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.schema import Model


@pytest.mark.parametrize("tied", [False, True])
def test_the_products_of_a_model_are_counted_by_the_side_whose_tokens_take_them(tied):
    model = Model.model_validate(
        {
            "embedding": {"size": 3, "shared": True, "tied": tied},
            "encoder": {"units": 5, "bidirectional": True},
            "decoder": {"units": 10, "attention": "general"},
        }
    )
    found = matrix_parameters(Seq2Seq(model, 20, 20))
    width = 3 if tied else 10
    assert found.source == 2 * (3 + 5) * 4 * 5 + 10 * 10
    assert found.target == (3 + 10) * 4 * 10 + (10 + 10) * width + width * 20
    assert found.training(2, 3) == 6 * (2 * found.source + 3 * found.target)
    assert found.decoding(2, 3) == 2 * (2 * found.source + 3 * found.target)
