"""A CUDA device that is not there: its tensors say `cuda:0` and have their numbers on the CPU.

An operation whose tensors lie on several devices is put to PyTorch's own fake tensors, which say whether a GPU would
refuse it. `FakeTensorMode` alone would not do: its tensors have no numbers, so code that reads one stops there, and a
CPU build of PyTorch ends the process where a gradient reaches a parameter on `cuda`. Here whole methods run, and give
the CPU's results.

What this cannot see: kernels, their speed and their rounding, memory, streams. To C++ the tensors lie on `meta`, for
which autograd needs no driver; Python sees `cuda:0`.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA, CPU, META = torch.device("cuda:0"), torch.device("cpu"), torch.device("meta")
aten = torch.ops.aten

_READS = {
    op.default
    for op in (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.unique_consecutive)
}
"""What makes the host wait for the device: numbers, and results whose size depends on them."""
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""What takes indices from the host, but none from the device for a tensor on the host; fake tensors let that pass."""
_EXACT = {aten._fused_adamw_.default, aten._fused_adam_.default}
"""What takes no scalar from the host, as other operations do: a fused optimizer's kernel reads its counts itself."""


class Pretended(Tensor):
    """A tensor on the pretended device; `numbers` has what is in it."""

    numbers: Tensor
    device_of_all: ClassVar["PretendedCuda | None"] = None

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "Pretended":
        made = Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=META,
        )
        made.numbers = numbers
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    is_meta = False
    is_cuda = True
    __torch_function__ = torch._C._disabled_torch_function_impl

    def data_ptr(self) -> int:
        return self.numbers.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            if hasattr(self, "_is_param"):
                copied._is_param = True
            memo[id(self)] = copied
        return memo[id(self)]

    def __repr__(self, **_: Any) -> str:
        return f"Pretended({self.numbers!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # In another thread, where modes do not reach.
        assert cls.device_of_all is not None, f"{func} of a tensor of the pretended device outside of `pretended_cuda`"
        return cls.device_of_all.__torch_dispatch__(func, types, args, kwargs)


class _Devices(TorchFunctionMode):
    """Hands `cuda` as an argument on as `meta`, which needs no driver."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def told(value: Any) -> Any:
            if isinstance(value, torch.device) and value.type == "cuda":
                return META
            return "meta" if isinstance(value, str) and value.partition(":")[0] == "cuda" else value

        if func is torch.device:
            return func(*args, **(kwargs or {}))
        options = {name: told(value) for name, value in (kwargs or {}).items()}
        if func in (torch.tensor, torch.as_tensor) and options.get("device") in (META, "meta"):
            # These would fill memory of the device without asking anybody.
            return func(*args, **{**options, "device": CPU}).to(META)
        return func(*map(told, args), **options)


class PretendedCuda(TorchDispatchMode):
    """Runs each operation on the CPU, once it is clear that on a GPU it would not mix devices.

    transfers: how often what crossed between the devices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transfers: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors: list[Tensor] = []
        originals: dict[int, Tensor] = {}

        def inside(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            numbers = value.numbers if isinstance(value, Pretended) else value
            tensors.append(value)
            originals[id(numbers)] = value
            return numbers

        real_args, real_kwargs = tree_map(inside, args), tree_map(inside, kwargs)
        if kwargs.get("device") == META:
            real_kwargs["device"] = CPU
        elif not any(isinstance(value, Pretended) for value in tensors):
            return func(*args, **kwargs)
        place = self._place(func, tensors, args, kwargs)
        result = func(*real_args, **real_kwargs)

        def outside(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            # An operation in place returns what it was given.
            return originals.get(id(value)) if id(value) in originals else Pretended(value) if place == CUDA else value

        return tree_map(outside, result)

    def _place(self, func: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> torch.device:
        """Where the result lies. Raises MixedDevicesError where a GPU would refuse the operation."""
        asked: torch.device | None = kwargs.get("device")
        places = [value.device for value in tensors]
        if func in _READS:
            self.transfers["to host"] += 1
        if func in (aten._to_copy.default, aten.copy_.default):
            place = places[0] if func is aten.copy_.default or asked is None else CUDA if asked == META else asked
            if len({place, *places}) == 2:
                self.transfers["to device" if place == CUDA else "to host"] += 1
            return place
        if asked is not None:
            return CUDA if asked == META else asked
        if set(places) == {CUDA}:
            return CUDA
        if func in _EXACT or (func in _INDEXED and places[0] != CUDA) or (found := _judged(func, args, kwargs)) is None:
            raise MixedDevicesError(f"{func} mixes devices: {[f'{v.device} {list(v.shape)}' for v in tensors]}")
        return found


def _judged(func: Any, args: Any, kwargs: Any) -> torch.device | None:
    """Where PyTorch's fake tensors have the result of an operation; None where they refuse it."""

    def fake(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return torch.empty(value.shape, dtype=value.dtype, device=value.device)

    with torch._C.DisableTorchFunction(), FakeTensorMode():
        fakes, options = tree_map(fake, args), tree_map(fake, kwargs)
        try:
            results = [value for value in tree_leaves(func(*fakes, **options)) if isinstance(value, Tensor)]
        except (DynamicOutputShapeException, DataDependentOutputException):
            return CUDA  # it would run, and have a size that depends on numbers
        except RuntimeError:
            return None
    return results[0].device if results else CUDA


class MixedDevicesError(RuntimeError):
    """An operation that a GPU would refuse."""


class _Generator(torch.Generator):
    """The CPU's, whatever is asked for: a build without CUDA has none for it."""

    def __new__(cls, device: torch.device | str = "cpu") -> "_Generator":
        return super().__new__(cls, "cpu")


@contextlib.contextmanager
def pretended_cuda() -> Iterator[PretendedCuda]:
    """Within the block `cuda` is there, as `PretendedCuda` has it, and inference mode is the absence of gradients.

    In true inference mode `to` is not taken apart into what a mode sees, and wrappers of tensors are refused.
    """

    def enter(block: Any) -> None:
        block.no_grad = torch.no_grad()
        block.no_grad.__enter__()

    def leave(block: Any, *error: Any) -> None:
        block.no_grad.__exit__(*error)

    with pytest.MonkeyPatch.context() as patch, _Devices(), PretendedCuda() as mode:
        patch.setattr(Pretended, "device_of_all", mode)
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch.inference_mode, "__enter__", enter)
        patch.setattr(torch.inference_mode, "__exit__", leave)
        yield mode
