if ($args) { $env:ENV = $args[0] }
& sh "$PSScriptRoot/deploy/run.sh" deploy; exit $LASTEXITCODE
