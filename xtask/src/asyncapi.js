// Reads an AsyncAPI document, prints what is wrong with it, and fails if there is anything.
const { Parser } = require('@asyncapi/parser');
const text = require('fs').readFileSync(process.argv[2], 'utf8');
new Parser().parse(text).then(({ document, diagnostics }) => {
  const wrong = diagnostics.filter((one) => one.severity === 0 || one.severity === 1 && !/latest/.test(one.code));
  wrong.forEach((one) => console.log(one.severity, one.code, one.path.join('.'), one.message));
  if (!document || wrong.length > 0) process.exit(1);
  console.log(document.operations().length, 'operations,', document.channels().length, 'channels: valid');
});
