"""SciPy, scikit-learn, XGBoost, LightGBM."""

from __future__ import annotations

from .kind import Library

SCIPY = Library("SciPy", "learning")
_restored, _noted, _lost = SCIPY.restored, SCIPY.noted, SCIPY.lost

_restored(
    "sparse arrays and matrices of every format",
    """
    import numpy as np, scipy.sparse as sp
    dense = np.eye(5) * 2
    sparse = {form: sp.csr_matrix(dense).asformat(form) for form in ['csr', 'csc', 'coo', 'bsr', 'dia', 'dok', 'lil']}
    sparse_arrays = {form: sp.csr_array(dense).asformat(form) for form in ['csr', 'csc', 'coo', 'bsr', 'dia', 'dok', 'lil']}
    large_sparse = sp.random_array((1000, 1000), density=0.05, format='csr', rng=np.random.default_rng(0))
    large_sparse_data = large_sparse.data
    """,
    """
    for collection in (sparse, sparse_arrays):
        for form, each in collection.items():
            assert each.format == form and (each.toarray() == dense).all(), form
    assert sp.issparse(sparse_arrays['csr']) and (large_sparse @ np.ones(1000)).shape == (1000,)
    large_sparse_data[0] = 99
    assert large_sparse.data[0] == 99
    """,
)
_restored(
    "interpolators, splines",
    """
    import numpy as np
    from scipy import interpolate
    grid = np.linspace(0, 1, 20)
    interpolators = [
        interpolate.interp1d(grid, grid ** 2, kind='cubic'), interpolate.CubicSpline(grid, grid ** 2), interpolate.PchipInterpolator(grid, grid ** 2),
        interpolate.UnivariateSpline(grid, grid ** 2, s=0), interpolate.make_interp_spline(grid, grid ** 2),
        interpolate.Akima1DInterpolator(grid, grid ** 2),
    ]
    surface = interpolate.RegularGridInterpolator((grid, grid), np.outer(grid, grid))
    scattered = interpolate.RBFInterpolator(np.random.default_rng(0).random((30, 2)), np.arange(30.0))
    triangles = interpolate.LinearNDInterpolator(np.random.default_rng(0).random((30, 2)), np.arange(30.0))
    expected_scattered = [float(scattered([[0.5, 0.5]])[0]), float(triangles([[0.5, 0.5]])[0])]
    """,
    """
    assert all(abs(float(each(0.5)) - 0.25) < 1e-2 for each in interpolators) and abs(float(surface([[0.5, 0.5]])[0]) - 0.25) < 1e-6
    assert [float(scattered([[0.5, 0.5]])[0]), float(triangles([[0.5, 0.5]])[0])] == expected_scattered
    """,
)
_restored(
    "KDTree, Delaunay, ConvexHull, Rotation",
    """
    import numpy as np
    from scipy import spatial
    cloud = np.random.default_rng(0).random((50, 2))
    tree_of_points, ckd, turned = spatial.KDTree(cloud), spatial.cKDTree(cloud), spatial.transform.Rotation.from_euler('z', 90, degrees=True)
    expected_nearest = int(tree_of_points.query([0.5, 0.5])[1])
    """,
    "assert int(tree_of_points.query([0.5, 0.5])[1]) == int(ckd.query([0.5, 0.5])[1]) == expected_nearest and abs(turned.apply([1, 0, 0])[1] - 1) < 1e-12",
)
_restored(
    "Delaunay triangulation, convex hull",
    "import numpy as np\nfrom scipy import spatial\ndelaunay, hull = (kind(np.random.default_rng(0).random((20, 2))) for kind in (spatial.Delaunay, spatial.ConvexHull))\nexpected_simplex = int(delaunay.find_simplex([0.5, 0.5]))",
    "assert int(delaunay.find_simplex([0.5, 0.5])) == expected_simplex and hull.volume > 0",
)
_restored(
    "distributions, results of optimisation and statistics, filters",
    """
    import numpy as np
    from scipy import optimize, signal, stats, integrate
    normal, kde = stats.norm(2, 3), stats.gaussian_kde(np.arange(10.0))
    optimum = optimize.minimize(lambda x: (x - 1) ** 2, 0.0)
    test_result = stats.ttest_ind([1, 2, 3, 4], [2, 3, 4, 9])
    lti, solution = signal.TransferFunction([1], [1, 2]), integrate.solve_ivp(lambda t, y: -y, [0, 1], [1.0], dense_output=True)
    expected_pdf = [normal.pdf(2), float(kde(3)[0]), float(solution.sol(0.5)[0])]
    """,
    """
    assert [normal.pdf(2), float(kde(3)[0]), float(solution.sol(0.5)[0])] == expected_pdf
    assert abs(optimum.x[0] - 1) < 1e-4 and 0 < test_result.pvalue < 1 and lti.den[1] == 2
    """,
)

SKLEARN = Library("scikit-learn", "learning")
_restored, _noted, _lost = SKLEARN.restored, SKLEARN.noted, SKLEARN.lost

_restored(
    "pipelines with transformers of columns",
    """
    import numpy as np, pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    people_table = pd.DataFrame({'age': [20.0, 30, 40, 50], 'town': ['a', 'b', 'a', 'b']})
    bought = [0, 0, 1, 1]
    preparation = ColumnTransformer([('n', make_pipeline(StandardScaler(), FunctionTransformer(lambda x: x * 2)), ['age']), ('c', OneHotEncoder(), ['town'])])
    pipeline = Pipeline([('prepare', preparation), ('model', LogisticRegression())]).fit(people_table, bought)
    expected_proba = pipeline.predict_proba(people_table)
    """,
    """
    assert (pipeline.predict_proba(people_table) == expected_proba).all() and pipeline.named_steps['prepare'] is not None
    assert pipeline.fit(people_table, bought).score(people_table, bought) == 1
    """,
)
_restored(
    "models of many kinds, fitted",
    """
    import numpy as np
    from sklearn import cluster, datasets, decomposition, discriminant_analysis, dummy, ensemble, gaussian_process, impute, isotonic
    from sklearn import kernel_ridge, linear_model, manifold, mixture, multiclass, naive_bayes, neighbors, neural_network, svm, tree
    from sklearn import calibration, feature_selection, multioutput, preprocessing, random_projection, semi_supervised, cross_decomposition
    flowers, kinds_of_flowers = datasets.load_iris(return_X_y=True)
    estimators = [
        tree.DecisionTreeClassifier(random_state=0), ensemble.RandomForestClassifier(10, random_state=0), ensemble.ExtraTreesClassifier(5, random_state=0),
        ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0), ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0),
        ensemble.AdaBoostClassifier(n_estimators=5, random_state=0), ensemble.BaggingClassifier(n_estimators=3, random_state=0),
        ensemble.VotingClassifier([('a', naive_bayes.GaussianNB()), ('b', svm.SVC())]), ensemble.StackingClassifier([('a', naive_bayes.GaussianNB())]),
        linear_model.LogisticRegression(max_iter=1000), linear_model.Ridge(), linear_model.Lasso(), linear_model.SGDClassifier(random_state=0), linear_model.BayesianRidge(),
        svm.SVC(probability=False), svm.LinearSVC(), naive_bayes.GaussianNB(), neighbors.KNeighborsClassifier(3), neural_network.MLPClassifier((5,), max_iter=20, random_state=0),
        gaussian_process.GaussianProcessClassifier(), discriminant_analysis.LinearDiscriminantAnalysis(), discriminant_analysis.QuadraticDiscriminantAnalysis(),
        kernel_ridge.KernelRidge(), multiclass.OneVsOneClassifier(svm.LinearSVC()), multiclass.OneVsRestClassifier(svm.LinearSVC()), dummy.DummyClassifier(),
        cluster.KMeans(3, random_state=0), cluster.MiniBatchKMeans(3, random_state=0), mixture.GaussianMixture(3, random_state=0),
        calibration.CalibratedClassifierCV(svm.LinearSVC()), semi_supervised.LabelPropagation(), cluster.AffinityPropagation(random_state=0), cluster.MeanShift(),
    ]
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        fitted = [estimator.fit(flowers, kinds_of_flowers) for estimator in estimators]
    expected_predictions = [estimator.predict(flowers) for estimator in fitted]
    transformers = [transformer.fit(flowers, kinds_of_flowers) for transformer in [
        decomposition.PCA(2), decomposition.TruncatedSVD(2), decomposition.NMF(2, max_iter=500, random_state=0), decomposition.FastICA(2, random_state=0), decomposition.IncrementalPCA(2),
        preprocessing.StandardScaler(), preprocessing.PolynomialFeatures(2), preprocessing.QuantileTransformer(n_quantiles=10), preprocessing.KBinsDiscretizer(subsample=None),
        impute.SimpleImputer(), impute.KNNImputer(), feature_selection.SelectKBest(), feature_selection.VarianceThreshold(), random_projection.GaussianRandomProjection(2, random_state=0),
        feature_selection.RFE(linear_model.LogisticRegression(max_iter=1000), n_features_to_select=2), manifold.Isomap(n_components=2), cross_decomposition.PLSRegression(2),
    ]]
    expected_transformed = [transformer.transform(flowers) for transformer in transformers]
    nearest, balls = neighbors.NearestNeighbors(n_neighbors=2).fit(flowers), neighbors.BallTree(flowers)
    bunch = datasets.load_iris()
    """,
    """
    for estimator, expected in zip(fitted, expected_predictions):
        assert np.array_equal(estimator.predict(flowers), expected), estimator
    for transformer, expected in zip(transformers, expected_transformed):
        result = transformer.transform(flowers)
        assert np.allclose(result.toarray() if hasattr(result, 'toarray') else result, expected.toarray() if hasattr(expected, 'toarray') else expected), transformer
    assert nearest.kneighbors(flowers[:1])[1][0, 0] == 0 and balls.query(flowers[:1])[1][0, 0] == 0 and bunch.target_names[0] == 'setosa'
    """,
)
_restored(
    "search over parameters, folds, scorers",
    """
    from sklearn import datasets, metrics, model_selection, tree
    searched = model_selection.GridSearchCV(tree.DecisionTreeClassifier(random_state=0), {'max_depth': [1, 3]}, cv=model_selection.KFold(3, shuffle=True, random_state=0))
    searched.fit(*datasets.load_iris(return_X_y=True))
    folds, scorer = model_selection.StratifiedKFold(3), metrics.make_scorer(metrics.f1_score, average='macro')
    None
    """,
    "assert searched.best_params_ == {'max_depth': 3} and searched.best_estimator_.predict([[5, 3, 1, 0.2]]) == [0] and folds.n_splits == 3 and 0 < scorer(searched, *datasets.load_iris(return_X_y=True)) <= 1",
)
_restored(
    "text vectorizers",
    """
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
    documents = ['this is a text', 'this is another', 'and a third']
    tfidf, counting_words, hashing = TfidfVectorizer(tokenizer=lambda t: t.split(), token_pattern=None), CountVectorizer(ngram_range=(1, 2)), HashingVectorizer(n_features=16)
    expected_tfidf, expected_words = tfidf.fit_transform(documents), counting_words.fit_transform(documents)
    """,
    "assert abs(tfidf.transform(documents) - expected_tfidf).max() < 1e-12 and (counting_words.transform(documents) != expected_words).nnz == 0 and hashing.transform(documents).shape == (3, 16)",
)
_restored(
    "estimator of the notebook",
    """
    from sklearn.base import BaseEstimator, ClassifierMixin, clone
    class Majority(ClassifierMixin, BaseEstimator):
        def __init__(self, offset=0):
            self.offset = offset
        def fit(self, X, y):
            self.value_ = max(set(y), key=list(y).count) + self.offset
            return self
        def predict(self, X):
            return [self.value_] * len(X)
    majority = Majority(1).fit([[0]] * 3, [1, 1, 2])
    """,
    "assert majority.predict([[5]]) == [2] and clone(majority).offset == 1 and type(majority) is Majority",
)

BOOSTING = Library("XGBoost, LightGBM", "learning")
_restored, _noted, _lost = BOOSTING.restored, BOOSTING.noted, BOOSTING.lost

_restored(
    "XGBoost: models, boosters",
    """
    import numpy as np, xgboost as xgb
    xgb_x, xgb_y = np.random.default_rng(0).random((500, 5)), np.random.default_rng(1).integers(0, 2, 500)
    xgb_model = xgb.XGBClassifier(n_estimators=10, max_depth=3, n_jobs=2).fit(xgb_x, xgb_y)
    booster = xgb.train({'max_depth': 3, 'nthread': 2}, xgb.DMatrix(xgb_x, xgb_y), 5)
    booster_of_model = xgb_model.get_booster()
    expected_xgb = [xgb_model.predict_proba(xgb_x), booster.predict(xgb.DMatrix(xgb_x))]
    """,
    """
    assert (xgb_model.predict_proba(xgb_x) == expected_xgb[0]).all() and (booster.predict(xgb.DMatrix(xgb_x)) == expected_xgb[1]).all()
    assert xgb_model.get_booster() is booster_of_model
    booster.update(xgb.DMatrix(xgb_x, xgb_y), 5)
    assert booster.num_boosted_rounds() == 6
    """,
)
_lost(
    "XGBoost's DMatrix",
    "dmatrix",
    "import numpy as np, xgboost as xgb\ndmatrix = xgb.DMatrix(np.eye(3))",
    "a DMatrix can't be kept: make it again from its data",
)
_restored(
    "LightGBM: models, boosters",
    """
    import numpy as np, lightgbm as lgb
    lgb_x, lgb_y = np.random.default_rng(0).random((500, 5)), np.random.default_rng(1).integers(0, 2, 500)
    lgb_model = lgb.LGBMClassifier(n_estimators=10, num_leaves=7, n_jobs=2, verbose=-1).fit(lgb_x, lgb_y)
    lgb_booster = lgb.train({'objective': 'binary', 'verbose': -1, 'num_threads': 2}, lgb.Dataset(lgb_x, lgb_y), 5)
    expected_lgb = [lgb_model.predict_proba(lgb_x), lgb_booster.predict(lgb_x)]
    """,
    """
    assert np.allclose(lgb_model.predict_proba(lgb_x), expected_lgb[0]) and np.allclose(lgb_booster.predict(lgb_x), expected_lgb[1])
    continued = lgb.train({'objective': 'binary', 'verbose': -1}, lgb.Dataset(lgb_x, lgb_y), 2, init_model=lgb_booster)
    assert continued.num_trees() == 7
    """,
)
_lost(
    "LightGBM's Dataset",
    "lgb_dataset",
    "import numpy as np, lightgbm as lgb\nlgb_dataset = lgb.Dataset(np.random.default_rng(0).random((100, 3)), np.arange(100) % 2).construct()",
    "a Dataset of LightGBM can't be kept: make it again from its data",
)

LIBRARIES = [SCIPY, SKLEARN, BOOSTING]
