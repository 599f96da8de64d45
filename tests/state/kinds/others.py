"""Drawing, data, the network, widgets, and libraries that make classes."""

from __future__ import annotations

from .kind import Library

MATPLOTLIB = Library("Matplotlib, Plotly", "others")
_restored, _noted, _lost = MATPLOTLIB.restored, MATPLOTLIB.noted, MATPLOTLIB.lost

_restored(
    "figure that pyplot has open",
    """
    get_ipython().run_line_magic('config', 'InlineBackend.close_figures = False')
    import matplotlib.pyplot as plt
    current = plt.figure(num=7)
    plt.plot([1, 2])
    None
    """,
    "get_ipython().run_line_magic('config', 'InlineBackend.close_figures = False')\nimport matplotlib.pyplot as plt\nassert 7 in plt.get_fignums() and plt.figure(7) is current\nplt.plot([3, 4])\nassert len(current.axes[0].lines) == 2\nplt.close('all')",
)
_restored(
    "figure, axes, artists",
    """
    import matplotlib.pyplot as plt, numpy as np
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(4, 3))
    (line,) = upper.plot([1, 2, 3], [1, 4, 9], label='squares')
    image = lower.imshow(np.eye(3)); figure.colorbar(image, ax=lower)
    upper.set_title('Title'); upper.legend(); lower.text(0, 0, 'text'); upper.fill_between([1, 2], [0, 1])
    colours, norm = plt.get_cmap('viridis'), plt.Normalize(0, 5)
    """,
    """
    import io
    assert figure.axes[0] is upper and upper.lines[0] is line and line.figure is figure and upper.get_title() == 'Title'
    line.set_ydata([9, 4, 1])
    assert list(upper.lines[0].get_ydata()) == [9, 4, 1]
    figure.savefig(io.BytesIO())
    upper.plot([1, 2])
    assert len(upper.lines) == 2 and norm(5) == 1 and colours(0.0)[3] == 1
    """,
)
_restored(
    "matplotlib's settings as a dictionary",
    "import matplotlib\nsettings_of_plots = dict(matplotlib.rcParams)",
    "assert settings_of_plots['figure.dpi'] > 0",
)
_restored(
    "3-D axes, animations of functions, patches, polar axes",
    """
    import matplotlib.pyplot as plt
    from matplotlib import patches
    solid = plt.figure(); solid_axes = solid.add_subplot(projection='3d'); solid_axes.plot([0, 1], [0, 1], [0, 1])
    round_figure = plt.figure(); round_axes = round_figure.add_subplot(projection='polar'); round_axes.plot([0, 1], [0, 1])
    round_axes.add_patch(patches.Circle((0, 0), 0.5))
    """,
    "assert solid.axes[0] is solid_axes and solid_axes.name == '3d' and round_axes.name == 'polar' and len(round_axes.patches) == 1\nround_figure.canvas.draw()",
)
_restored(
    "Plotly: figures, express",
    """
    import plotly.graph_objects as go, plotly.express as px
    plotly_figure = go.Figure(data=[go.Bar(x=['a', 'b'], y=[1, 2])], layout={'title': {'text': 'T'}})
    bar_trace = plotly_figure.data[0]
    express = px.scatter(x=[1, 2], y=[3, 4])
    """,
    """
    assert plotly_figure.layout.title.text == 'T' and plotly_figure.data[0].y == (1, 2) and express.data[0].type == 'scatter'
    plotly_figure.add_scatter(y=[1]); plotly_figure.update_layout(width=300)
    assert len(plotly_figure.data) == 2 and 'width' in plotly_figure.to_json() and bar_trace.x == ('a', 'b')
    """,
)

DATA = Library("NetworkX, PIL, SymPy, requests, tqdm", "others")
_restored, _noted, _lost = DATA.restored, DATA.noted, DATA.lost

_restored(
    "NetworkX: graphs, views of them",
    """
    import networkx as nx
    graph = nx.karate_club_graph(); graph.nodes[0]['note'] = [1]
    directed, multi = nx.DiGraph([(1, 2), (2, 3)]), nx.MultiGraph([(1, 2), (1, 2)])
    nodes_of_graph, note = graph.nodes, graph.nodes[0]['note']
    part_of_graph = directed.subgraph([1, 2])
    """,
    """
    assert graph.number_of_nodes() == 34 and nx.shortest_path(directed, 1, 3) == [1, 2, 3] and multi.number_of_edges(1, 2) == 2
    note.append(2)
    graph.add_node('new')
    assert graph.nodes[0]['note'] == [1, 2] and 'new' in nodes_of_graph and part_of_graph.number_of_edges() == 1
    """,
)
_restored(
    "PIL: images",
    """
    import io
    from PIL import Image, ImageDraw
    picture = Image.new('RGB', (200, 100), (255, 0, 0)); ImageDraw.Draw(picture).point((1, 1), (0, 0, 255))
    stored = io.BytesIO(); picture.save(stored, 'PNG')
    from_file = Image.open(io.BytesIO(stored.getvalue()))
    palette_image = picture.convert('P')
    picture.info['k'] = 'v'
    """,
    "assert picture.getpixel((1, 1)) == (0, 0, 255) and from_file.size == (200, 100) and from_file.getpixel((0, 0)) == (255, 0, 0) and palette_image.mode == 'P' and picture.info['k'] == 'v'",
)
_restored(
    "SymPy: expressions, symbols, matrices, functions made of them",
    """
    import sympy
    x_symbol, n_symbol = sympy.symbols('x n', positive=True)
    formula = sympy.sin(x_symbol) ** 2 + n_symbol
    sympy_matrix, equation, dummy_symbol = sympy.Matrix([[1, x_symbol], [0, 1]]), sympy.Eq(formula, 1), sympy.Dummy('d')
    numeric = sympy.lambdify(x_symbol, x_symbol ** 2)
    undefined = sympy.Function('f')
    """,
    """
    assert sympy.diff(formula, x_symbol) == 2 * sympy.sin(x_symbol) * sympy.cos(x_symbol) and x_symbol.is_positive
    assert sympy_matrix.det() == 1 and numeric(3) == 9 and equation.lhs == formula and undefined(x_symbol).func == undefined
    """,
)
_restored(
    "requests: session, prepared request, response that was read",
    """
    import requests, threading
    from http.server import BaseHTTPRequestHandler, HTTPServer
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.send_header('Content-Length', '4'); self.end_headers(); self.wfile.write(b'text')
        def log_message(self, *args):
            pass
    http_server = HTTPServer(('127.0.0.1', 0), Answer)
    server_thread = threading.Thread(target=http_server.serve_forever, daemon=True); server_thread.start()
    address_of_server = f'http://127.0.0.1:{http_server.server_port}'
    session = requests.Session(); session.headers['X-Test'] = '1'; session.cookies.set('c', 'v'); session.auth = ('user', 'pass')
    response = session.get(address_of_server)
    prepared = requests.Request('GET', 'http://x/', params={'a': 1}).prepare()
    del http_server, server_thread
    """,
    """
    assert session.headers['X-Test'] == '1' and session.cookies['c'] == 'v' and session.auth == ('user', 'pass') and 'https://' in session.adapters
    assert response.text == 'text' and response.status_code == 200 and prepared.url == 'http://x/?a=1' and response.request.headers['X-Test'] == '1'
    """,
)
_lost(
    "requests: response that was not read yet",
    "unread_response",
    """
    import requests, threading
    from http.server import BaseHTTPRequestHandler, HTTPServer
    class Slowly(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.send_header('Content-Length', '4'); self.end_headers(); self.wfile.write(b'text')
        def log_message(self, *args):
            pass
    slow_server = HTTPServer(('127.0.0.1', 0), Slowly)
    threading.Thread(target=slow_server.serve_forever, daemon=True).start()
    unread_response = requests.get(f'http://127.0.0.1:{slow_server.server_port}', stream=True)
    del slow_server
    """,
    "a response that was not read yet can't be kept: ask again",
)
_restored(
    "pydantic: models, adapters of types",
    """
    import pydantic
    class User(pydantic.BaseModel):
        name: str
        age: int = pydantic.Field(ge=0, default=1)
        tags: list[str] = []
        @pydantic.field_validator('name')
        @classmethod
        def check(cls, value):
            return value.strip()
        @pydantic.computed_field
        @property
        def shout(self) -> str:
            return self.name.upper()
    class Admin(User):
        level: int
        friend: User | None = None
    user_of_pydantic, admin = User(name=' Ada '), Admin(name='Bob', level=3, friend=User(name='Cy'))
    adapter = pydantic.TypeAdapter(list[int])
    """,
    """
    assert user_of_pydantic.name == 'Ada' and user_of_pydantic.shout == 'ADA' and type(user_of_pydantic) is User and admin.friend.name == 'Cy'
    assert User.model_validate({'name': ' x '}).name == 'x' and User.model_json_schema()['properties']['age']['minimum'] == 0 and adapter.validate_python(['1']) == [1]
    try:
        User(name='x', age=-1)
    except pydantic.ValidationError:
        pass
    else:
        raise AssertionError('it does not validate')
    assert issubclass(Admin, User) and Admin.model_fields['level'].is_required()
    """,
)
_restored(
    "attrs: classes, frozen, with slots",
    """
    import attrs
    @attrs.define
    class Part:
        size: int = attrs.field(validator=attrs.validators.ge(0))
        names: list = attrs.Factory(list)
        def double(self):
            return __class__, self.size * 2
    @attrs.frozen
    class Sealed:
        value: int = attrs.field(converter=int)
    part, sealed = Part(2), Sealed('5')
    """,
    """
    assert part.double() == (Part, 4) and sealed.value == 5 and attrs.asdict(part) == {'size': 2, 'names': []} and attrs.evolve(sealed, value='6').value == 6
    try:
        Part(-1)
    except ValueError:
        pass
    else:
        raise AssertionError('it does not validate')
    """,
)
_restored(
    "tqdm: bar in its middle",
    "from tqdm import tqdm\nbar = tqdm(range(10), desc='steps')\nbar.update(3)\nNone",
    "assert bar.n == 3 and bar.total == 10 and bar.desc.startswith('steps')\nbar.update(1)\nassert bar.n == 4",
)

WIDGETS = Library("IPython widgets", "others")
_restored, _noted, _lost = WIDGETS.restored, WIDGETS.noted, WIDGETS.lost

_WIDGET = "a widget comes back with its values: display it again"

_noted(
    "sliders, text, boxes, with observers and links",
    "slider box text_widget dropdown",
    """
    import ipywidgets as widgets, traitlets
    slider, text_widget, dropdown = widgets.IntSlider(value=3, max=10), widgets.Text('hello'), widgets.Dropdown(options=['a', 'b'], value='b')
    seen_changes = []
    slider.observe(lambda change: seen_changes.append(change['new']), 'value')
    box = widgets.VBox([slider, text_widget])
    follower = widgets.IntSlider(max=10)
    link_of_sliders = traitlets.link((slider, 'value'), (follower, 'value'))
    """,
    """
    assert slider.value == 3 and slider.max == 10 and text_widget.value == 'hello' and dropdown.value == 'b' and dropdown.options == ('a', 'b')
    assert box.children[0] is slider and slider.comm is not None and slider.layout.comm is not None
    slider.value = 5
    assert seen_changes == [5] and follower.value == 5
    assert slider._repr_mimebundle_()['application/vnd.jupyter.widget-view+json']['model_id'] == slider.model_id
    """,
    _WIDGET,
)
_noted(
    "button with a function, output, interactive",
    "button output",
    """
    import ipywidgets as widgets
    button, output, clicks = widgets.Button(description='Go'), widgets.Output(), []
    button.on_click(lambda button: clicks.append(1))
    """,
    "button.click()\nassert clicks == [1] and button.description == 'Go'\nwith output:\n    print('inside')",
    _WIDGET,
)
_noted(
    "interactive function",
    "interactive",
    "import ipywidgets as widgets\ninteractive = widgets.interactive(lambda x: x * 2, x=(0, 10))",
    "interactive.children[0].value = 4\nassert interactive.kwargs == {'x': 4}",
    _WIDGET,
)
_noted(
    "widget in an object of a class that says itself how it is pickled",
    "panel",
    """
    import ipywidgets as widgets
    class Panel:
        def __init__(self):
            self.bar = widgets.IntProgress(value=2)
        def __getstate__(self):
            return {'bar': self.bar}
        def __setstate__(self, state):
            self.bar = state['bar']
    panel = Panel()
    """,
    "assert panel.bar.value == 2 and panel.bar.comm is not None",
    _WIDGET,
)
_restored(
    "traitlets: objects with observers",
    """
    import traitlets
    class Settings(traitlets.HasTraits):
        rate = traitlets.Float(0.1)
        @traitlets.observe('rate')
        def _changed(self, change):
            self.log = change['new']
    traits, trait_changes = Settings(rate=0.5), []
    traits.observe(lambda change: trait_changes.append(change['new']), 'rate')
    """,
    "traits.rate = 2\nassert trait_changes == [2.0] and traits.log == 2.0 and type(traits) is Settings",
)

LIBRARIES = [MATPLOTLIB, DATA, WIDGETS]
