"""What TorchServe's worker asks of torch when its model uses none of it."""


class Tensor:
    """Nothing is one."""


class cuda:
    """There is none."""

    @staticmethod
    def is_available():
        return False

    @staticmethod
    def device_count():
        return 0


def is_tensor(_value):
    return False


__version__ = "2.4.0"
