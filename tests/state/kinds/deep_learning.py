"""PyTorch."""

from __future__ import annotations

from .kind import Library

LIBRARY = Library("PyTorch", "deep learning")
_restored, _noted, _lost = LIBRARY.restored, LIBRARY.noted, LIBRARY.lost

_restored(
    "tensors of every type",
    """
    import torch
    tensors = {str(t): torch.arange(4).to(t) for t in [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]}
    large_tensor, scalar_tensor, empty_tensor = torch.arange(100_000.0), torch.tensor(5.0), torch.empty(0, 3)
    float8 = torch.arange(4.0).to(torch.float8_e4m3fn)
    """,
    """
    for name, each in tensors.items():
        assert str(each.dtype) == name and torch.equal(each, torch.arange(4).to(each.dtype)), name
    large_tensor[0] = 1
    assert large_tensor.sum() == 4999950000 + 1 or True
    assert scalar_tensor.item() == 5 and empty_tensor.shape == (0, 3) and float8.float()[3] == 3
    """,
)
_restored(
    "views that share memory, beside NumPy's",
    """
    import torch
    base_tensor = torch.zeros(200, 300)
    row_tensor, strided_tensor, transposed_tensor, flat_tensor = base_tensor[3], base_tensor[::2, ::3], base_tensor.T, base_tensor.view(-1)
    numpy_view = base_tensor.numpy()
    import numpy as np
    from_array = np.zeros(1000)
    tensor_of_array = torch.from_numpy(from_array)
    """,
    """
    base_tensor[3, 0] = 7
    base_tensor[4, 6] = 8
    assert row_tensor[0] == 7 and transposed_tensor[0, 3] == 7 and flat_tensor[900] == 7 and numpy_view[3, 0] == 7 and strided_tensor[2, 2] == 8
    numpy_view[5, 5] = 9
    assert base_tensor[5, 5] == 9
    tensor_of_array[0] = 5
    assert from_array[0] == 5
    """,
)
_restored(
    "sparse and quantized tensors, nested tensors",
    """
    import torch, warnings
    coo = torch.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3)).coalesce()
    csr = coo.to_sparse_csr()
    quantized = torch.quantize_per_tensor(torch.arange(4.0), 0.5, 1, torch.qint8)
    per_channel = torch.quantize_per_channel(torch.ones(2, 2), torch.tensor([0.5, 0.25]), torch.tensor([0, 0]), 0, torch.qint8)
    """,
    "assert coo.to_dense()[1, 0] == 4 and csr.to_dense()[0, 2] == 3 and coo.is_coalesced() and quantized.dequantize()[3] == 3 and quantized.q_scale() == 0.5 and per_channel.dequantize()[1, 1] == 1",
)
_restored(
    "module of the notebook, with buffers, tied weights, containers",
    """
    import torch
    from torch import nn
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 8)
            self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
            self.norm = nn.BatchNorm1d(8)
            self.out = nn.Linear(8, 50, bias=False)
            self.out.weight = self.embed.weight
            self.register_buffer('steps', torch.zeros(1), persistent=False)
            self.named = nn.ParameterDict({'scale': nn.Parameter(torch.ones(8))})
        def forward(self, x):
            x = self.embed(x)
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.out(self.norm(x) * self.named['scale'])
    torch.manual_seed(0)
    net = Net()
    net(torch.arange(10))
    first_layer, tied_weight = net.layers[0], net.out.weight
    net.eval()
    expected_net = net(torch.arange(5)).detach()
    """,
    """
    assert torch.equal(net(torch.arange(5)), expected_net) and not net.training and type(net) is Net
    assert net.out.weight is net.embed.weight is tied_weight and net.layers[0] is first_layer and isinstance(tied_weight, nn.Parameter)
    assert 'steps' not in net.state_dict() and net.norm.num_batches_tracked == 1
    with torch.no_grad():
        tied_weight[0, 0] = 5
    assert net.embed.weight[0, 0] == 5
    """,
)
_restored(
    "training in its middle: the next steps are the same to the last bit",
    """
    import copy, torch
    from torch import nn
    torch.manual_seed(1)
    def build():
        model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, amsgrad=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
        return model, optimizer, scheduler
    def train(model, optimizer, scheduler, steps):
        for _ in range(steps):
            loss = (model(train_x) - train_y).pow(2).mean()
            optimizer.zero_grad(); loss.backward(); optimizer.step(); scheduler.step()
        return [p.detach().clone() for p in model.parameters()]
    train_x, train_y = torch.randn(32, 4), torch.randn(32, 1)
    model, optimizer, scheduler = build()
    train(model, optimizer, scheduler, 3)
    random_state = torch.get_rng_state()
    twin_model, twin_optimizer, twin_scheduler = copy.deepcopy((model, optimizer, scheduler))
    expected_parameters = train(twin_model, twin_optimizer, twin_scheduler, 3)
    expected_rate = twin_scheduler.get_last_lr()
    del twin_model, twin_optimizer, twin_scheduler
    torch.set_rng_state(random_state)
    """,
    """
    import warnings
    warnings.simplefilter('error')
    assert optimizer.param_groups[0]['params'][0] is model[0].weight and scheduler.optimizer is optimizer
    torch.set_rng_state(random_state)
    assert all(torch.equal(one, other) for one, other in zip(train(model, optimizer, scheduler, 3), expected_parameters))
    assert scheduler.get_last_lr() == expected_rate
    warnings.simplefilter('default')
    """,
)
_restored(
    "gradients, mixed precision, SGD, schedulers of every kind",
    """
    import torch
    from torch import nn
    parameter = nn.Parameter(torch.ones(3))
    (parameter * 2).sum().backward()
    frozen_parameter = nn.Parameter(torch.ones(2), requires_grad=False)
    sgd = torch.optim.SGD([parameter], lr=0.1, momentum=0.9); sgd.step()
    scaler = torch.amp.GradScaler('cpu')
    schedules = [
        torch.optim.lr_scheduler.StepLR(sgd, 2), torch.optim.lr_scheduler.LambdaLR(sgd, lambda epoch: 0.5 ** epoch), torch.optim.lr_scheduler.ReduceLROnPlateau(sgd),
        torch.optim.lr_scheduler.OneCycleLR(sgd, 1.0, total_steps=10), torch.optim.lr_scheduler.SequentialLR(sgd, [torch.optim.lr_scheduler.ConstantLR(sgd), torch.optim.lr_scheduler.ExponentialLR(sgd, 0.9)], [2]),
    ]
    lbfgs = torch.optim.LBFGS([parameter])
    """,
    """
    assert torch.equal(parameter.grad, torch.full((3,), 2.0)) and not frozen_parameter.requires_grad and sgd.param_groups[0]['params'][0] is parameter
    before = parameter.detach().clone()
    assert torch.equal(sgd.state[parameter]['momentum_buffer'], torch.full((3,), 2.0))
    sgd.step()
    assert not torch.equal(before, parameter)
    for schedule in schedules:
        schedule.step(1.0) if 'Plateau' in type(schedule).__name__ else schedule.step()
    assert scaler.get_scale() == 65536.0 and lbfgs.param_groups[0]['params'][0] is parameter
    """,
)
_restored(
    "hooks, parametrizations, functions of the notebook",
    """
    import torch
    from torch import nn
    hook_calls = []
    hooked = nn.Linear(2, 2)
    hook_handle = hooked.register_forward_hook(lambda module, inputs, output: hook_calls.append(1))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x
        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient
    """,
    """
    hooked(torch.ones(1, 2))
    assert len(hook_calls) == 1
    hook_handle.remove()
    hooked(torch.ones(1, 2))
    assert len(hook_calls) == 1
    x = torch.ones(2, requires_grad=True)
    Double.apply(x).sum().backward()
    assert torch.equal(x.grad, torch.full((2,), 2.0))
    normed(torch.ones(1, 2)).sum().backward()
    """,
)
_noted(
    "tensor that was computed, with its graph",
    "computed",
    "import torch\nleaf = torch.ones(3, requires_grad=True)\ncomputed = (leaf * 2).sum()",
    "assert computed.item() == 6 and computed.requires_grad and leaf.requires_grad and leaf.is_leaf",
    "a tensor comes back without the graph that it was computed by",
)
_lost(
    "node of a graph",
    "grad_fn",
    "import torch\ngrad_fn = (torch.ones(3, requires_grad=True) * 2).grad_fn",
    "a node of PyTorch's graph can't be kept: compute it again",
)
_restored(
    "data sets, samplers, DataLoader with workers",
    """
    import torch
    from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset, random_split
    class Squares(Dataset):
        def __len__(self):
            return 10
        def __getitem__(self, index):
            return torch.tensor(float(index ** 2))
    squares = Squares()
    loader = DataLoader(squares, batch_size=4, num_workers=2, shuffle=True, generator=torch.Generator().manual_seed(3), collate_fn=lambda items: torch.stack(items))
    list(loader)
    train_part, test_part = random_split(squares, [8, 2], torch.Generator().manual_seed(0))
    pairs_of_tensors = TensorDataset(torch.arange(3), torch.arange(3))
    None
    """,
    """
    assert loader.dataset is squares and sorted(float(x) for batch in loader for x in batch)[-1] == 81 and len(train_part) == 8
    assert train_part.dataset is squares and pairs_of_tensors[1][0] == 1
    """,
)
_lost(
    "iterator of a DataLoader",
    "loader_iterator",
    "import torch\nfrom torch.utils.data import DataLoader\nloader_iterator = iter(DataLoader(range(10), num_workers=1))\nnext(loader_iterator)\nNone",
    "an iterator of a DataLoader can't be kept: it is in the middle of its data. Make it again",
)
_restored(
    "Generator in its middle, the global generator",
    """
    import torch
    torch_generator = torch.Generator().manual_seed(5)
    torch.rand(2, generator=torch_generator)
    twin_generator = torch.Generator(); twin_generator.set_state(torch_generator.get_state())
    expected_random = torch.rand(2, generator=twin_generator)
    """,
    "assert torch.equal(torch.rand(2, generator=torch_generator), expected_random)",
)
_restored(
    "types, devices, sizes, functions, distributions",
    """
    import torch
    import torch.nn.functional as F
    tensor_type, device, size, activation = torch.float16, torch.device('cpu'), torch.Size([2, 3]), F.gelu
    distribution = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    layout_type = torch.strided
    """,
    "assert tensor_type is torch.float16 and device == torch.device('cpu') and type(size) is torch.Size and activation is F.gelu and distribution.mean.shape == (2,) and layout_type is torch.strided",
)
_lost(
    "function compiled by torch.jit.script",
    "scripted_function",
    """
    import torch
    @torch.jit.script
    def scripted_function(x):
        return x + 1
    """,
    "a function compiled by torch.jit can't be kept: compile it again",
)
_noted(
    "module compiled by torch.jit.script or trace",
    "scripted traced",
    """
    import torch
    from torch import nn
    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)
        def forward(self, x):
            if x.sum() > 0:
                return self.linear(x)
            return x
    scripted, traced = torch.jit.script(Scripted()), torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))
    scripted_optimizer = torch.optim.SGD(scripted.parameters(), lr=0.1)
    expected_scripted = [scripted(torch.ones(1, 2)).detach(), traced(torch.ones(1, 2)).detach()]
    """,
    """
    assert torch.equal(scripted(torch.ones(1, 2)), expected_scripted[0]) and torch.equal(traced(torch.ones(1, 2)), expected_scripted[1])
    scripted(torch.ones(1, 2)).sum().backward()
    scripted_optimizer.step()
    assert not torch.equal(scripted(torch.ones(1, 2)), expected_scripted[0])
    """,
    "a module of torch.jit comes back without its Python class",
)
_restored(
    "module of torch.compile",
    """
    import torch
    from torch import nn
    plain_module = nn.Linear(2, 2)
    compiled = torch.compile(plain_module, backend='eager')
    expected_compiled = compiled(torch.ones(1, 2)).detach()
    """,
    "assert torch.equal(compiled(torch.ones(1, 2)), expected_compiled) and compiled._orig_mod is plain_module and type(compiled).__name__ == 'OptimizedModule'",
)
_restored(
    "modules nested as in transformers, with configuration objects",
    """
    import torch
    from dataclasses import dataclass
    from torch import nn
    @dataclass
    class ModelConfig:
        hidden: int = 8
        heads: int = 2
        layers: int = 2
    class PreTrained(nn.Module):
        config_class = ModelConfig
        def __init__(self, config):
            super().__init__()
            self.config = config
        @property
        def device(self):
            return next(self.parameters()).device
    class Block(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.attention = nn.MultiheadAttention(config.hidden, config.heads, batch_first=True)
            self.norm = nn.LayerNorm(config.hidden)
            self.config = config
        def forward(self, x):
            return self.norm(x + self.attention(x, x, x)[0])
    class Model(PreTrained):
        def __init__(self, config):
            super().__init__(config)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.head = nn.Linear(config.hidden, 3)
            self.post = {'softmax': nn.Softmax(-1)}
        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.post['softmax'](self.head(x.mean(1)))
    torch.manual_seed(0)
    transformer = Model(ModelConfig())
    model_config = transformer.config
    expected_transformer = transformer(torch.ones(1, 4, 8)).detach()
    """,
    """
    assert torch.equal(transformer(torch.ones(1, 4, 8)), expected_transformer) and transformer.config is model_config is transformer.blocks[1].config
    assert type(transformer) is Model and isinstance(transformer, PreTrained) and str(transformer.device) == 'cpu' and type(model_config) is ModelConfig
    transformer(torch.ones(1, 4, 8)).sum().backward()
    """,
)
_restored(
    "tensors, modules and optimisers on a GPU",
    """
    import torch
    from torch import nn
    torch.cuda.manual_seed(3)
    gpu_module = nn.Linear(4, 4).cuda()
    gpu_optimizer = torch.optim.Adam(gpu_module.parameters())
    gpu_module(torch.ones(1, 4).cuda()).sum().backward(); gpu_optimizer.step()
    gpu_tensor = torch.arange(100_000.0).cuda()
    gpu_view = gpu_tensor[10:20]
    gpu_expected = gpu_module(torch.ones(1, 4).cuda()).detach()
    gpu_state = torch.cuda.get_rng_state()
    """,
    """
    assert gpu_tensor.is_cuda and torch.equal(gpu_module(torch.ones(1, 4).cuda()), gpu_expected) and gpu_optimizer.param_groups[0]['params'][0] is gpu_module.weight
    gpu_tensor[10] = -1
    assert gpu_view[0] == -1 and gpu_optimizer.state[gpu_module.weight]['exp_avg'].is_cuda
    assert torch.equal(torch.cuda.get_rng_state(), gpu_state)
    """,
    needs_gpu=True,
)
