# A login shell starts from the system's PATH: take that of the notebook server instead (docs/builds.md).
if [ -n "${REGROW_PATH:-}" ]; then
  PATH=$REGROW_PATH
else
  PATH=/opt/regrow/bin:$PATH
fi
export PATH
