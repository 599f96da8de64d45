# Every kernel of this environment has %%cpp, %build and %gpu. IPython reads this from sys.prefix/etc/ipython.
# `extra_extensions`, not `extensions`: a user's own `c.InteractiveShellApp.extensions = [...]` neither loses
# its entries to ours nor removes ours.
c = get_config()  # noqa: F821
c.InteractiveShellApp.extra_extensions.append("regrow.kernel_magics")
